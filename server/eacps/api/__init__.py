"""The gRPC API, version 1: validation, conversion, servicer, error mapping, server.

Only this package and the clients use protobuf messages.
"""

from eacps.api.access import KeyRing
from eacps.api.message_codec import MessageCodec
from eacps.api.server import SearchServer, ServerLimits
from eacps.api.servicer import SearchServicer
from eacps.api.tls import ServerTls
from eacps.api.validation import Rules

__all__ = [
    "KeyRing",
    "MessageCodec",
    "Rules",
    "SearchServer",
    "SearchServicer",
    "ServerLimits",
    "ServerTls",
]
