"""A network as torch's own exported program, on a GPU where Triton gives one, compiled there."""

from pathlib import Path

import torch
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from eacps.arrays import Arrays
from eacps.models.served_network import ServedNetwork
from eacps.tensors import ModelSpec

PROGRAM_FILE = "network.pt2"


def on_device(program: ExportedProgram, device: torch.device) -> ExportedProgram:
    """Move a program: its weights, and the tensors that it makes on the way, which remember where it was traced."""
    moved: ExportedProgram = move_to_device_pass(program, device)
    return moved


def torch_network(spec: ModelSpec, program: Path, *, device: torch.device, compiled: bool) -> ServedNetwork:
    """Open a program.

    Args:
        spec: The network's contract; it has one output.
        program: File of ``torch.export.save``.
        device: Where it runs.
        compiled: Whether it is compiled first: minutes for each new shape, then a good part faster. For GPUs.
    """
    module = on_device(torch.export.load(program), device).module()
    run_module = torch.compile(module) if compiled else module
    output = spec.outputs[0].name

    def run(feeds: Arrays) -> Arrays:
        arguments = [torch.from_numpy(feeds[tensor.name]).to(device) for tensor in spec.inputs]
        with torch.inference_mode():
            return {output: run_module(*arguments).cpu().numpy()}

    return ServedNetwork(spec, run)
