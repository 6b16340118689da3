# Envoy before the search servers: the API as JSON and as gRPC on one port.
#
#   docker build --file docker/envoy.Dockerfile --tag eacps-envoy .

FROM envoyproxy/envoy:v1.40.0

# The descriptors are made of protos/ by `make proto`.
COPY docker/envoy.yaml docker/eacps.binpb /etc/envoy/
USER 101
EXPOSE 8081
CMD ["envoy", "--config-path", "/etc/envoy/envoy.yaml"]
