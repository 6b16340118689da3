# Triton for GPUs: NVIDIA's server with what the Python models of the repository import.
#
#   docker build --file docker/triton.Dockerfile --tag eacps-triton .
#
# TensorRT engines are tied to the TensorRT of the container: the export image is made from the same release.

ARG TRITON_RELEASE=26.10
FROM nvcr.io/nvidia/tritonserver:${TRITON_RELEASE}-py3

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY server ./server
# A torch with CUDA comes from the index that the build names; by default the package index's own build has it.
ARG TORCH_INDEX=
# hadolint ignore=DL3013  # the project itself, from this folder: pyproject.toml holds the versions
RUN pip install --no-cache-dir --break-system-packages ${TORCH_INDEX:+--index-url ${TORCH_INDEX}} torch==2.13.0 \
    && pip install --no-cache-dir --break-system-packages '.[triton]' \
    && rm -rf /src/*

EXPOSE 8000 8001 8002
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m \
    CMD ["curl", "--fail", "--silent", "http://127.0.0.1:8000/v2/health/ready"]
# Models are loaded once; shared memory and the repository can be reached from within alone.
CMD ["tritonserver", "--model-repository=/served/models", "--model-control-mode=none", \
     "--grpc-restricted-protocol=shared-memory,model-repository:internal=only"]
