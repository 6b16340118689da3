"""The targets of an export: which Triton backend runs the networks, and in which form it gets them.

Names and tensors of the models are the same for every target.
"""

from export.targets.onnx import EMBEDDED, ONNXRUNTIME
from export.targets.target import EngineFailed, Placement, Target, TargetUnavailable
from export.targets.tensorrt import TensorRTTarget
from export.targets.torch import TORCH

TARGETS: dict[str, Target] = {target.name: target for target in (EMBEDDED, ONNXRUNTIME, TORCH, TensorRTTarget())}

__all__ = ["EMBEDDED", "ONNXRUNTIME", "TARGETS", "TORCH", "EngineFailed", "Placement", "Target", "TargetUnavailable"]
