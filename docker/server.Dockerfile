# The search server alone: no torch, no model. Triton runs elsewhere, at EACPS_TRITON.
#
#   docker build --file docker/server.Dockerfile --tag eacps-server .
#   docker run --publish 50051:50051 --env EACPS_TRITON=triton:8001 \
#       --volume ./api_keys.json:/keys/api_keys.json:ro --env EACPS_API_KEYS=/keys/api_keys.json eacps-server

FROM python:3.12-slim

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY server ./server
# Clients of outside judges and of a trace collector, and `eacps http`; none of them brings torch.
ARG EXTRAS=gemini,http,otlp
# hadolint ignore=DL3013  # the project itself, from this folder: pyproject.toml holds the versions
RUN pip install --no-cache-dir ".[${EXTRAS}]" && rm -rf /src/*

RUN useradd --uid 10001 --create-home eacps && install --directory --owner eacps /artifacts
USER 10001
WORKDIR /home/eacps

ENV EACPS_ADDRESS=0.0.0.0:50051
EXPOSE 50051
# Whether the process answers: an outage of Triton is no reason to restart it. With TLS it needs the variables of a client, too.
HEALTHCHECK --interval=30s --timeout=10s --start-period=3m CMD ["eacps", "health", "--live"]
# Exec form, so that `docker stop` reaches the server itself and running searches get their grace.
CMD ["eacps", "serve"]
