# A checkpoint to a Triton model repository, TensorRT engines included, by the TensorRT of the Triton that serves them.
#
#   docker build --file docker/export.Dockerfile --tag eacps-export .
#   docker run --gpus all --volume ./checkpoints:/checkpoints:ro --volume ./served:/served --volume eacps-cache:/cache \
#       eacps-export --checkpoint /checkpoints/NAME --target tensorrt --output /served/models
#
# TRITON_RELEASE is that of triton.Dockerfile, and TENSORRT the wheel of the TensorRT in that container: an engine is tied to
# both, down to TensorRT's build. Weights come from outside, under licenses of their own: see the README.

ARG TRITON_RELEASE=26.10
FROM nvcr.io/nvidia/tritonserver:${TRITON_RELEASE}-py3

WORKDIR /src
ARG TENSORRT=11.4.0.106
COPY docker/same_tensorrt.sh ./
RUN sh same_tensorrt.sh "${TENSORRT}"

COPY pyproject.toml README.md LICENSE ./
COPY server ./server
# A torch with CUDA comes from the index that the build names; by default the package index's own build has it.
ARG TORCH_INDEX=
# hadolint ignore=DL3013  # the project itself, from this folder: pyproject.toml holds the versions
RUN pip install --no-cache-dir --break-system-packages ${TORCH_INDEX:+--index-url ${TORCH_INDEX}} torch==2.13.0 \
    && pip install --no-cache-dir --break-system-packages '.[export]' "tensorrt==${TENSORRT}"
COPY export ./export
COPY model_repository ./model_repository

# What an export would have to make again: timings of TensorRT's tactics, files of the libraries.
ENV XDG_CACHE_HOME=/cache
VOLUME ["/cache"]
ENTRYPOINT ["python3", "-m", "export"]
CMD ["--help"]
