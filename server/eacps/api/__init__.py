"""The gRPC API, version 1: validation, conversion, servicer, error mapping, server.

Protobuf messages are seen here only, and here only by `validation` and `converters`.
"""

from eacps.api.access import KeyRing
from eacps.api.server import SearchServer, ServerLimits
from eacps.api.tls import ServerTls
from eacps.api.validation import DEFAULT_WEIGHTS, Rules

__all__ = ["DEFAULT_WEIGHTS", "KeyRing", "Rules", "SearchServer", "ServerLimits", "ServerTls"]
