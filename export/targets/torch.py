"""torch's own programs in the Python backend, compiled when they load: the reference on a GPU, and quick to change.

Face networks are ONNX graphs from the start, and are served as such.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from torch.export import ExportedProgram

from eacps.models.arguments import COMPILE_PARAMETER
from eacps.models.torch_network import PROGRAM_FILE
from export.networks.network import Network, Tensors, TorchNetwork
from export.parity import TOLERANCE, Answers
from export.precision import Precision
from export.targets.onnx import EMBEDDED
from export.targets.target import Bench, Placement, Target


class TorchTarget(Target):
    """See `export.targets.target.Target`."""

    name = "torch"
    precision = Precision.BF16
    precisions = frozenset(Precision)
    fixed_shapes = False
    tolerance = TOLERANCE
    runs_onnx = False
    code = (__name__, "export.targets.onnx")

    def check(self) -> str:
        """Return no device: every machine can write programs, and they run anywhere."""
        return ""

    def placement(self, network: type[Network]) -> Placement:
        """Use a GPU if there is one, and compile the program for it."""
        if not issubclass(network, TorchNetwork):
            return EMBEDDED.where
        return Placement("python", "KIND_AUTO", parameters={COMPILE_PARAMETER: "true", **EMBEDDED.where.parameters})

    def dims(self, _version: Path) -> Mapping[str, tuple[int, ...]]:
        """Return nothing: the Python backend accepts -1 for any axis."""
        return {}

    def install(self, network: Network, precision: Precision, bench: Bench) -> Answers:
        """Write the program, weights included."""
        if not isinstance(network, TorchNetwork):
            return EMBEDDED.install(network, precision, bench)
        path = bench.version / PROGRAM_FILE
        program = network.program(precision, fused=True)
        _check_room(program, path)
        torch.export.save(program, path)
        module = torch.export.load(path).module()
        names = [tensor.name for tensor in network.spec.inputs]

        def answer(inputs: Tensors) -> Tensors:
            with torch.inference_mode():
                answered = module(*(torch.from_numpy(inputs[name]) for name in names))
            return {network.spec.outputs[0].name: answered.numpy()}

        return answer


def _check_room(program: ExportedProgram, path: Path) -> None:
    """Check that the disk has room for a program: torch does not raise when it has none, it aborts the process.

    Raises:
        OSError: It has not.
    """
    held = [*program.state_dict.values(), *program.constants.values()]
    size = sum(weight.nbytes for weight in held if isinstance(weight, torch.Tensor))
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


TORCH = TorchTarget()
