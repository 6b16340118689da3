"""The gRPC API, version 1: validation, conversion, servicer, error mapping, server.

Protobuf messages are seen here and by clients only.
"""

from eacps.api.access import KeyRing
from eacps.api.codec import MessageCodec
from eacps.api.server import SearchServer, ServerLimits
from eacps.api.servicer import SearchServicer
from eacps.api.tls import ServerTls
from eacps.api.validation import DEFAULT_WEIGHTS, Rules

__all__ = [
    "DEFAULT_WEIGHTS",
    "KeyRing",
    "MessageCodec",
    "Rules",
    "SearchServer",
    "SearchServicer",
    "ServerLimits",
    "ServerTls",
]
