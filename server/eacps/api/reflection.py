"""Server reflection in both versions that clients ask for: v1, and v1alpha, whose messages are the same."""

from collections.abc import Sequence

import grpc
import grpc.aio
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

V1 = "grpc.reflection.v1.ServerReflection"


def enable_reflection(services: Sequence[str], server: grpc.aio.Server) -> None:
    """Let clients ask a server for its services and their messages.

    Args:
        services: Full names of the services to be shown, beside reflection as v1alpha. Its v1 is answered, but not
            shown: the package has no description of it, which a client that lists all services would ask for.
        server: Not started yet.
    """
    shown = [*services, reflection.SERVICE_NAME]
    reflection.enable_server_reflection(shown, server)
    # The Python package has the older version alone; a message of the newer one has the same fields and numbers.
    handler = grpc.stream_stream_rpc_method_handler(
        aio.ReflectionServicer(shown).ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, {"ServerReflectionInfo": handler}),))
