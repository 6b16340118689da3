"""Triton's adapter of a network of any backbone, whose file lies beside this one."""

from eacps.models.network_adapter import TritonPythonModel

__all__ = ["TritonPythonModel"]
