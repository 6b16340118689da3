"""The face pack: InsightFace-style ONNX graphs, given the contract's names and axes.

Nothing is computed anew here; the original is the pack's own graph, run by ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from eacps.tensors import FACE_DETECTOR, FACE_RECOGNIZER, FACE_SWAPPER, FACE_VERIFIER, ModelSpec, TensorSpec
from export.face_pack import FaceFiles
from export.networks.network import ParityCase, Tensors
from export.precision import Precision

EMAP_SHAPE = (512, 512)


class UnsupportedFacePack(Exception):
    """A graph of the pack cannot serve the contract."""


class FaceNetwork:
    """One graph of a face pack.

    Args:
        spec: Contract whose inputs and outputs replace the graph's own, by position.
        source: The pack's file.
        shapes: For each parity case, the shape of every input, in the contract's order.

    Raises:
        UnsupportedFacePack: Another number of inputs or outputs than the contract's, or a recogniser that
            normalises inside its graph.
    """

    def __init__(self, spec: ModelSpec, source: Path, shapes: Iterable[tuple[tuple[int, ...], ...]]) -> None:
        self.spec, self.source, self.shapes = spec, source, tuple(shapes)
        self.model = onnx.load(str(source))
        graph = self.model.graph
        # Old exporters list weights among the inputs.
        weights = {weight.name for weight in graph.initializer}
        self.inputs = [value.name for value in graph.input if value.name not in weights]
        self.outputs = [value.name for value in graph.output]
        if (len(self.inputs), len(self.outputs)) != (len(spec.inputs), len(spec.outputs)):
            raise UnsupportedFacePack(
                f"{source.name} has {len(self.inputs)} inputs and {len(self.outputs)} outputs, "
                f"{spec.name} needs {len(spec.inputs)} and {len(spec.outputs)}"
            )
        if spec in (FACE_RECOGNIZER, FACE_VERIFIER) and _normalises_inside(graph):
            raise UnsupportedFacePack(f"{source.name} normalises its input itself (converted from MXNet)")

    def write_onnx(self, path: Path, precision: Precision) -> None:
        """Write the graph under the contract's names.

        Raises:
            UnsupportedFacePack: Not in FP32: at less, swapped faces are distorted.
        """
        if precision is not Precision.FP32:
            raise UnsupportedFacePack(f"{self.spec.name} stays in {Precision.FP32}, not {precision}")
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        old = [*self.inputs, *self.outputs]
        tensors = [*self.spec.inputs, *self.spec.outputs]
        rename_values(model.graph, dict(zip(old, (tensor.name for tensor in tensors), strict=True)))
        values = {value.name: value for value in (*model.graph.input, *model.graph.output)}
        for tensor in tensors:
            _declare(values[tensor.name], tensor, batched=self.spec.max_batch_size > 0)
        # Shapes noted inside the graph may hold the pack's fixed batch.
        del model.graph.value_info[:]
        onnx.save(model, str(path))

    def cases(self) -> Iterator[ParityCase]:
        """Run the pack's own graph, item by item, on noise of every shape."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(self.source), options, providers=["CPUExecutionProvider"])
        for number, shapes in enumerate(self.shapes):
            rng = np.random.default_rng(number)
            inputs = {
                tensor.name: rng.uniform(0.0, 1.0, shape).astype(np.float32)
                for tensor, shape in zip(self.spec.inputs, shapes, strict=True)
            }
            words = " and ".join("x".join(map(str, shape)) for shape in shapes)
            yield ParityCase(f"inputs {words}", inputs, self._original(session, inputs))

    def _original(self, session: onnxruntime.InferenceSession, inputs: Tensors) -> Tensors:
        items = len(next(iter(inputs.values()))) if self.spec.max_batch_size else 1
        parts = [
            session.run(
                self.outputs,
                {old: array[item : item + 1] for old, array in zip(self.inputs, inputs.values(), strict=True)},
            )
            for item in range(items)
        ]
        names = [tensor.name for tensor in self.spec.outputs]
        return {name: np.concatenate([part[k] for part in parts]) for k, name in enumerate(names)}


def face_network(spec: ModelSpec, files: FaceFiles, *, fixed: bool) -> FaceNetwork:
    """Return one of the pack's networks.

    Args:
        spec: Its contract.
        files: The pack.
        fixed: Whether the detector will see its own size alone.

    Raises:
        UnsupportedFacePack: As ``FaceNetwork`` does.
    """
    crops = [((batch, 3, 112, 112),) for batch in (1, 3)]
    if spec is FACE_SWAPPER:
        return FaceNetwork(spec, files.swapper, [((1, 3, 128, 128), (1, 512))])
    if spec is FACE_RECOGNIZER:
        return FaceNetwork(spec, files.recognizer, crops)
    if spec is FACE_VERIFIER and files.verifier is not None:
        return FaceNetwork(spec, files.verifier, crops)
    if spec is not FACE_DETECTOR:
        raise UnsupportedFacePack(f"the pack has no {spec.name}")
    detector = FaceNetwork(spec, files.detector, ())
    own = files.detection_size
    free = () if fixed or _is_fixed(detector) else ((96, 160),)
    detector.shapes = tuple(((1, 3, *size),) for size in ((own, own), *free))
    return detector


def read_emap(swapper: Path) -> np.ndarray:
    """Return the swapper's embedding map, float32 (512, 512): the last initializer of its graph, by position.

    Raises:
        UnsupportedFacePack: The last initializer is something else.
    """
    weights = onnx.load(str(swapper)).graph.initializer
    emap = numpy_helper.to_array(weights[-1]) if weights else np.zeros(0)
    if emap.shape != EMAP_SHAPE:
        raise UnsupportedFacePack(f"{swapper.name} ends with an initializer of shape {emap.shape}, not with emap")
    return np.ascontiguousarray(emap, dtype=np.float32)


def rename_values(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename values throughout ``graph``, those of subgraphs included; a value in the way gets an underscore."""
    taken = {name for node in graph.node for name in (*node.input, *node.output)} - set(names)
    taken |= {value.name for value in graph.initializer} - set(names)
    renamed = {name: f"{name}_" for name in taken & set(names.values())} | dict(names)

    def new(name: str) -> str:
        return renamed.get(name, name)

    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = new(value.name)
    for node in graph.node:
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                rename_values(attribute.g, renamed)


def _declare(value: onnx.ValueInfoProto, tensor: TensorSpec, *, batched: bool) -> None:
    """State the contract's axes, a fixed size where the contract or the graph has one."""
    shape = value.type.tensor_type.shape
    axes = (("batch", *tensor.axes)) if batched else tensor.axes
    fixed = [dim.dim_value for dim in shape.dim] if len(shape.dim) == len(axes) else [0] * len(axes)
    del shape.dim[:]
    for axis, size in zip(axes, fixed, strict=True):
        if isinstance(axis, int):
            shape.dim.add(dim_value=axis)
        elif axis in ("height", "width") and size > 0:
            shape.dim.add(dim_value=size)
        else:
            shape.dim.add(dim_param=axis)


def _is_fixed(detector: FaceNetwork) -> bool:
    """Tell whether the graph takes one size alone."""
    dims = detector.model.graph.input[0].type.tensor_type.shape.dim
    return bool(dims[2].dim_value > 0 and dims[3].dim_value > 0)


def _normalises_inside(graph: onnx.GraphProto) -> bool:
    """Tell whether InsightFace would take the graph for one converted from MXNet; the rule is the library's."""
    first = [node.name for node in graph.node[:8]]
    return any(name.startswith(("Sub", "_minus")) for name in first) and any(
        name.startswith(("Mul", "_mul")) for name in first
    )
