"""What the exporter needs of a network: its contract, its ONNX file, and cases that prove it equal to its original."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import onnx_ir as ir
import torch
from torch import nn
from torch.export import Dim

from eacps.tensors import ModelSpec

OPSET = 20

# Axes of the contract that vary from request to request; the others are fixed by the checkpoint.
DYNAMIC_AXES = frozenset(
    ("batch", "image_tokens", "text_tokens", "tokens", "pictures", "height", "width", "latent_height", "latent_width")
)

Tensors = dict[str, np.ndarray]

_Module = TypeVar("_Module", bound=nn.Module)


@dataclass(frozen=True)
class ParityCase:
    """Inputs by contract name, and what the original network answers to them.

    Args:
        description: What is special about the case, for reports: sizes in words.
        inputs: Every input of the contract, with the batch axis where the model has one.
        expected: Every output of the contract, computed by the original.
    """

    description: str
    inputs: Tensors
    expected: Tensors


class Network(Protocol):
    """One leaf model of the repository."""

    @property
    def spec(self) -> ModelSpec:
        """Its contract."""
        ...

    def write_onnx(self, path: Path) -> None:
        """Write the graph, with the contract's names, dtypes and dynamic axes."""
        ...

    def cases(self) -> Iterator[ParityCase]:
        """Compute the parity cases with the original, one after the other."""
        ...


def sources_of(network: Network) -> list[Path]:
    """Return the files of the code that exports ``network``, and of the gate that it must pass."""
    gate = Path(__file__).parents[1] / "parity.py"
    return [Path(__file__), Path(inspect.getfile(type(network))), gate]


def copy_sharing_weights(module: _Module) -> _Module:
    """Copy the structure of ``module``, to be rebuilt for export; weights stay in memory once."""
    weights = (*module.parameters(), *module.buffers())
    return copy.deepcopy(module, memo={id(weight): weight for weight in weights})


def write_torch_module(module: nn.Module, spec: ModelSpec, examples: Tensors, path: Path) -> None:
    """Export ``module``, whose arguments are the inputs of ``spec`` in their order.

    ``DYNAMIC_AXES`` stay dynamic. ``examples`` must be 2 or more along each: an axis of 1 would be taken for a
    constant. The graph is not optimised: constant folding fails on the split of the doubled batch of
    ``zero_cond_t``, and ONNX Runtime optimises when it loads.
    """
    batch: tuple[str, ...] = ("batch",) if spec.max_batch_size else ()
    dynamic = tuple(
        {k: Dim.DYNAMIC for k, axis in enumerate(batch + tensor.axes) if axis in DYNAMIC_AXES} for tensor in spec.inputs
    )
    arguments = tuple(torch.from_numpy(examples[tensor.name]) for tensor in spec.inputs)
    with torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            arguments,
            dynamo=True,
            optimize=False,
            opset_version=OPSET,
            dynamic_shapes=dynamic,
            input_names=[tensor.name for tensor in spec.inputs],
            output_names=[tensor.name for tensor in spec.outputs],
            verbose=False,
        )
    if program is None:
        raise RuntimeError(f"{spec.name}: torch.onnx.export returned no program")
    _strip_notes(program.model)
    # Weights beside the graph: a single protobuf ends at 2 GB.
    program.save(str(path), external_data=True)


def _strip_notes(model: ir.Model) -> None:
    """Remove the notes on which line of Python each node came from: most of a small file, and paths of this machine."""
    graphs = [model.graph, *model.functions.values()]
    for graph in graphs:
        graph.metadata_props.clear()
        for node in graph.all_nodes():
            node.metadata_props.clear()
            for value in node.outputs:
                value.metadata_props.clear()


def case_of(description: str, inputs: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> ParityCase:
    """Put a case of torch tensors together."""
    return ParityCase(
        description,
        {name: tensor.detach().contiguous().numpy() for name, tensor in inputs.items()},
        {name: tensor.detach().contiguous().numpy() for name, tensor in expected.items()},
    )
