"""A network as torch's own exported program, on a GPU where Triton gives one, compiled there."""

from pathlib import Path

import torch

from eacps.models.leaf import Arrays, Leaf
from eacps.tensors import ModelSpec

PROGRAM_FILE = "network.pt2"
COMPILE_PARAMETER = "compile"


def torch_leaf(spec: ModelSpec, program: Path, *, device: torch.device, compiled: bool) -> Leaf:
    """Open a program.

    Args:
        spec: The network's contract; it has one output.
        program: File of ``torch.export.save``.
        device: Where it runs.
        compiled: Whether it is compiled first: minutes for each new shape, then a good part faster. For GPUs.
    """
    module = torch.export.load(program).module().to(device)
    run_module = torch.compile(module) if compiled else module
    output = spec.outputs[0].name

    def run(feeds: Arrays) -> Arrays:
        arguments = [torch.from_numpy(feeds[tensor.name]).to(device) for tensor in spec.inputs]
        with torch.inference_mode():
            return {output: run_module(*arguments).cpu().numpy()}

    return Leaf(spec, run)
