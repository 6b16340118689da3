#!/bin/sh
# See that a wheel's TensorRT is the one in this container: Triton refuses engines of any other, even of another build.
#
#   sh same_tensorrt.sh 11.4.0.106
#
# NVIDIA's containers say which they hold in TRT_VERSION (11.4.0.106, or with +cuda13.4 behind it).
set -eu

wheel=$1
held=${TRT_VERSION:-}
if [ -z "$held" ]; then
    held=$(dpkg-query --showformat='${Version}\n' --show 'libnvinfer[0-9]*' 2>/dev/null | head -n 1) || held=
fi
held=${held%%[-+]*}
if [ -z "$held" ]; then
    echo 'cannot tell which TensorRT this container holds' >&2
    exit 1
fi
if [ "$held" != "$wheel" ]; then
    echo "this container holds TensorRT $held, the wheel is to be $wheel: build with --build-arg TENSORRT=$held" >&2
    exit 1
fi
