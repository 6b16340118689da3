"""Triton's adapter of an ONNX network: ``network.onnx`` lies beside this file."""

from eacps.models.onnx_adapter import TritonPythonModel

__all__ = ["TritonPythonModel"]
