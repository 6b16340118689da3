"""Triton's adapter of a network, whose file lies beside this one."""

from eacps.models.network_adapter import TritonPythonModel

__all__ = ["TritonPythonModel"]
