"""What the exporter needs of a network: its contract, its files, and cases that prove it equal to its original."""

from __future__ import annotations

import copy
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import onnx_ir as ir
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from eacps.tensors import ModelSpec
from export.precision import Precision, at_precision

OPSET = 20

# Axes of the contract that vary from request to request; the others are fixed by the checkpoint.
DYNAMIC_AXES = frozenset(
    (
        "batch",
        "image_tokens",
        "text_tokens",
        "tokens",
        "pictures",
        "patches",
        "height",
        "width",
        "latent_height",
        "latent_width",
    )
)

Tensors = dict[str, np.ndarray]

_Module = TypeVar("_Module", bound=nn.Module)


@dataclass(frozen=True)
class ParityCase:
    """Inputs by contract name, and what the original network answers to them.

    Args:
        description: What is special about the case, for reports: sizes in words.
        inputs: Every input of the contract, with the batch axis where the model has one.
        expected: Every output of the contract, computed by the original in FP32.
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

    def write_onnx(self, path: Path, precision: Precision) -> None:
        """Write the graph, with the contract's names, dtypes and dynamic axes."""
        ...

    def cases(self) -> Iterator[ParityCase]:
        """Compute the parity cases with the original, one after the other."""
        ...


class TorchNetwork(ABC):
    """A network that is a torch module: exported here, to ONNX or as torch's own program."""

    @property
    @abstractmethod
    def spec(self) -> ModelSpec:
        """Its contract."""

    @abstractmethod
    def graph(self, *, fused: bool = False) -> nn.Module:
        """The module in FP32, whose arguments are the inputs of ``spec`` in their order.

        Args:
            fused: For torch itself, with its own attention kernels, rather than for an ONNX graph.
        """

    @abstractmethod
    def example(self) -> Tensors:
        """Inputs to trace with: 2 or more along each axis that varies, for 1 would be taken for a constant."""

    @abstractmethod
    def cases(self) -> Iterator[ParityCase]:
        """Compute the parity cases with the original, one after the other."""

    def write_onnx(self, path: Path, precision: Precision) -> None:
        """Write the graph, with the contract's names, dtypes and dynamic axes."""
        program = self.program(precision)
        with torch.no_grad():
            # Not optimised: constant folding fails on the split of the doubled batch of zero_cond_t, and whatever
            # runs the graph optimises when it loads.
            exported = torch.onnx.export(
                program,
                dynamo=True,
                optimize=False,
                opset_version=OPSET,
                input_names=[tensor.name for tensor in self.spec.inputs],
                output_names=[tensor.name for tensor in self.spec.outputs],
                verbose=False,
            )
        if exported is None:
            raise RuntimeError(f"{self.spec.name}: torch.onnx.export returned no program")
        _strip_notes(exported.model)
        # Weights beside the graph: a single protobuf ends at 2 GB.
        exported.save(str(path), external_data=True)

    def program(self, precision: Precision, *, fused: bool = False) -> ExportedProgram:
        """Trace the module; ``DYNAMIC_AXES`` stay dynamic. ``fused`` as for `graph`."""
        examples = self.example()
        batch: tuple[str, ...] = ("batch",) if self.spec.max_batch_size else ()
        dynamic = tuple(
            {k: Dim.DYNAMIC for k, axis in enumerate(batch + tensor.axes) if axis in DYNAMIC_AXES}
            for tensor in self.spec.inputs
        )
        arguments = tuple(torch.from_numpy(examples[tensor.name]) for tensor in self.spec.inputs)
        with torch.no_grad():
            return torch.export.export(
                at_precision(self.graph(fused=fused), precision).eval(), arguments, dynamic_shapes=dynamic, strict=False
            )

    def runner(self, precision: Precision) -> Callable[[Tensors], Tensors]:
        """Run the module by torch itself, with its own kernels: the measure of what an engine may lose."""
        module = at_precision(self.graph(fused=True), precision).eval()

        def run(inputs: Tensors) -> Tensors:
            with torch.inference_mode():
                answer = module(*(torch.from_numpy(inputs[tensor.name]) for tensor in self.spec.inputs))
            return {self.spec.outputs[0].name: answer.numpy()}

        return run


def sources_of(network: type, *further: str) -> list[Path]:
    """Return the files of the code that decides what is exported of a class of networks.

    Args:
        network: The class.
        further: Names of modules beside those that all networks have in common.
    """
    common = (__name__, network.__module__, "export.parity", "export.precision", "export.checkpoint")
    names = dict.fromkeys((*common, *further))
    # Found, not imported: an engine's builder needs TensorRT for that.
    found = (importlib.util.find_spec(name) for name in names)
    return [Path(spec.origin) for spec in found if spec is not None and spec.origin is not None]


def copy_sharing_weights(module: _Module) -> _Module:
    """Copy the structure of ``module``, to be rebuilt for export; weights stay in memory once."""
    weights = (*module.parameters(), *module.buffers())
    return copy.deepcopy(module, memo={id(weight): weight for weight in weights})


def case_of(description: str, inputs: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> ParityCase:
    """Put a case of torch tensors together."""
    return ParityCase(
        description,
        {name: tensor.detach().contiguous().numpy() for name, tensor in inputs.items()},
        {name: tensor.detach().contiguous().numpy() for name, tensor in expected.items()},
    )


def _strip_notes(model: ir.Model) -> None:
    """Remove the notes on which line of Python each node came from: most of a small file, and paths of this machine."""
    graphs = [model.graph, *model.functions.values()]
    for graph in graphs:
        graph.metadata_props.clear()
        for node in graph.all_nodes():
            node.metadata_props.clear()
            for value in node.outputs:
                value.metadata_props.clear()
