"""Triton as the search server sees it: a typed client, and a server embedded as a child process."""

from eacps.triton.gateway import TritonGateway
from eacps.triton.types import Faces, Generated, GenerateRequest, Prior, ServedCheckpoint, VerifiedFaces

__all__ = ["Faces", "GenerateRequest", "Generated", "Prior", "ServedCheckpoint", "TritonGateway", "VerifiedFaces"]
