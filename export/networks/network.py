"""What the exporter needs of a network: its contract, its files, and cases to compare it with its original."""

from __future__ import annotations

import copy
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from eacps.tensors import ModelSpec
from export.graphs import write_graph
from export.precision import Precision, at_precision

# Axes of the contract that vary from request to request; the others are fixed by the checkpoint.
DYNAMIC_AXES = frozenset(
    (
        "batch",
        "latent_tokens",
        "picture_tokens",
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

# Modules whose code decides every network, besides the module of its class.
COMMON_MODULES = ("export.parity", "export.precision", "export.checkpoint", "export.graphs", "export.operators")

Tensors = dict[str, np.ndarray]

_Module = TypeVar("_Module", bound=nn.Module)


@dataclass(frozen=True)
class ParityCase:
    """Inputs by contract name, and what the original network answers to them.

    Args:
        description: Sizes of the case in words, for reports.
        inputs: Every input of the contract, with the batch axis where the model has one.
        expected: Every output of the contract, computed by the original in FP32.
    """

    description: str
    inputs: Tensors
    expected: Tensors


class Network(Protocol):
    """One served network of the repository."""

    @property
    def spec(self) -> ModelSpec:
        """Its contract."""
        ...

    def write_onnx(self, path: Path, precision: Precision) -> None:
        """Write the graph, with the contract's names, dtypes and dynamic axes."""
        ...

    def cases(self) -> Iterator[ParityCase]:
        """Compute the parity cases with the original, one by one."""
        ...


class TorchNetwork(ABC):
    """A network that is a torch module: exported here, to ONNX or as torch's own program."""

    opset = 20
    """ONNX opset of its graph."""
    code: tuple[str, ...] = ()
    """Modules whose code decides the graph, besides the module of the class."""

    @property
    @abstractmethod
    def spec(self) -> ModelSpec:
        """Its contract."""

    @abstractmethod
    def graph(self, *, fused: bool = False) -> nn.Module:
        """Return the module in FP32; its arguments are the inputs of ``spec`` in their order.

        Args:
            fused: Whether it is for torch, with torch's attention kernels, rather than for an ONNX graph.
        """

    @abstractmethod
    def example(self) -> Tensors:
        """Return inputs to trace with: 2 or more along each axis that varies, because torch makes 1 a constant."""

    @abstractmethod
    def cases(self) -> Iterator[ParityCase]:
        """Compute the parity cases with the original, one by one."""

    def write_onnx(self, path: Path, precision: Precision) -> None:
        """Write the graph, with the contract's names, dtypes and dynamic axes."""
        program = self.program(precision)
        with torch.no_grad():
            # `write_graph` simplifies it; torch's own optimization takes longer.
            exported = torch.onnx.export(
                program,
                dynamo=True,
                optimize=False,
                opset_version=self.opset,
                input_names=[tensor.name for tensor in self.spec.inputs],
                output_names=[tensor.name for tensor in self.spec.outputs],
                verbose=False,
            )
        if exported is None:
            raise RuntimeError(f"{self.spec.name}: torch.onnx.export returned no program")
        write_graph(exported.model, path, self.spec.name)

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
        """Return a function that runs the module by torch: its error is the measure for an engine's."""
        module = at_precision(self.graph(fused=True), precision).eval()

        def run(inputs: Tensors) -> Tensors:
            with torch.inference_mode():
                answer = module(*(torch.from_numpy(inputs[tensor.name]) for tensor in self.spec.inputs))
            return {self.spec.outputs[0].name: answer.numpy()}

        return run


def sources_of(network: type, *further: str) -> list[Path]:
    """Return the source files that decide how a class of networks is exported.

    Args:
        network: The class.
        further: Names of modules besides those of the class and of all networks.
    """
    own = network.code if issubclass(network, TorchNetwork) else ()
    common = (__name__, network.__module__, *own, *COMMON_MODULES)
    names = dict.fromkeys((*common, *further))
    # Only found, since importing the engine's builder needs TensorRT.
    found = (importlib.util.find_spec(name) for name in names)
    return [Path(spec.origin) for spec in found if spec is not None and spec.origin is not None]


def copy_sharing_weights(module: _Module) -> _Module:
    """Copy the structure of ``module``, to be rebuilt for export; both share the weights."""
    weights = (*module.parameters(), *module.buffers())
    return copy.deepcopy(module, memo={id(weight): weight for weight in weights})


def case_of(description: str, inputs: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> ParityCase:
    """Build a case from torch tensors."""
    return ParityCase(
        description,
        {name: tensor.detach().contiguous().numpy() for name, tensor in inputs.items()},
        {name: tensor.detach().contiguous().numpy() for name, tensor in expected.items()},
    )
