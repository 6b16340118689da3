"""Triton as the search server sees it: a typed client, and a server embedded as a child process."""

from eacps.triton.gateway import TritonGateway
from eacps.triton.types import Generated, GenerateRequest, ServedCheckpoint

__all__ = ["GenerateRequest", "Generated", "ServedCheckpoint", "TritonGateway"]
