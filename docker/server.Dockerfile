# The search server alone: no torch, no model. Triton runs elsewhere, at EACPS_TRITON.
#
#   docker build --file docker/server.Dockerfile --tag eacps-server .
#   docker run --publish 50051:50051 --env EACPS_TRITON=triton:8001 \
#       --volume ./api_keys.json:/keys/api_keys.json:ro --env EACPS_API_KEYS=/keys/api_keys.json eacps-server

FROM python:3.12-slim

WORKDIR /src
COPY pyproject.toml README.md ./
COPY server ./server
# Clients of outside judges and of a trace collector; none of them brings torch.
ARG EXTRAS=gemini,otlp
# hadolint ignore=DL3013  # the project itself, from this folder: pyproject.toml holds the versions
RUN pip install --no-cache-dir ".[${EXTRAS}]" && rm -rf /src/*

RUN useradd --uid 10001 --create-home eacps && install --directory --owner eacps /artifacts
USER 10001
WORKDIR /home/eacps

ENV EACPS_ADDRESS=0.0.0.0:50051
EXPOSE 50051
# Exec form, so that `docker stop` reaches the server itself and running searches get their grace.
CMD ["eacps", "serve"]
