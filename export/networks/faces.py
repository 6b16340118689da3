"""The face pack: ONNX graphs as InsightFace has them, with the contract's names and axes.

The graphs themselves stay as they are. The original, for the parity gate, is the pack's file, run by ONNX Runtime and
read as InsightFace reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import numpy_helper

from eacps.models.faces.program import FaceSettings
from eacps.tensors import FACE_DETECTOR, FACE_RECOGNIZER, FACE_SWAPPER, FACE_VERIFIER, ModelSpec, TensorSpec
from export.face_pack import FaceFiles, UnsupportedFacePack, dims_of, graph_inputs, read_graph
from export.graphs import simplify, write_graph
from export.networks.network import ParityCase, Tensors
from export.operators import UnsupportedGraph, check_operators
from export.parity import open_session
from export.precision import Precision

EMAP_SHAPE = (512, 512)
CLOSE_UP = 128
"""Side of the square, in pixels, in which InsightFace also looks for faces, for those that fill a picture."""
OBLONG = (96, 160)
AXES_AS_INPUT = 13
"""Opset from which on Squeeze takes its axes as an input."""


class FaceNetwork:
    """One graph of a face pack.

    Args:
        spec: Contract whose inputs and outputs replace the graph's own, by position.
        source: The pack's file.
        shapes: For each parity case, the shape of every input, in the contract's order.

    Raises:
        UnsupportedFacePack: It cannot be read, has another number of inputs or outputs than the contract, or is a
            recognizer that normalizes inside its graph.
    """

    def __init__(self, spec: ModelSpec, source: Path, shapes: Iterable[tuple[tuple[int, ...], ...]]) -> None:
        self.spec, self.source, self.shapes = spec, source, tuple(shapes)
        self.model = read_graph(source)
        graph = self.model.graph
        self.inputs = [value.name for value in graph_inputs(graph)]
        self.outputs = [value.name for value in graph.output]
        if (len(self.inputs), len(self.outputs)) != (len(spec.inputs), len(spec.outputs)):
            raise UnsupportedFacePack(
                f"{source} has {len(self.inputs)} inputs and {len(self.outputs)} outputs, "
                f"{spec.name} needs {len(spec.inputs)} and {len(spec.outputs)}"
            )
        if spec in (FACE_RECOGNIZER, FACE_VERIFIER) and _normalizes_inside(graph):
            raise UnsupportedFacePack(f"{source} normalizes its input itself (converted from MXNet)")

    def write_onnx(self, path: Path, precision: Precision) -> None:
        """Write the graph under the contract's names and axes.

        Raises:
            UnsupportedFacePack: Not in FP32: at less, swapped faces are distorted.
        """
        if precision is not Precision.FP32:
            raise UnsupportedFacePack(f"{self.spec.name} stays in {Precision.FP32}, not {precision}")
        write_graph(self.graph(), path, self.spec.name)

    def graph(self) -> ir.Model:
        """Return the graph under the contract's names, its outputs brought to the contract's ranks.

        Raises:
            UnsupportedFacePack: The file's own graph does not run.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        outputs = [
            _squeezed(model, name, axes) if axes else name
            for name, axes in zip(self.outputs, self._surplus_axes, strict=True)
        ]
        tensors = [*self.spec.inputs, *self.spec.outputs]
        names = [tensor.name for tensor in tensors]
        rename_values(model.graph, dict(zip([*self.inputs, *outputs], names, strict=True)))
        values = {value.name: value for value in (*model.graph.input, *model.graph.output)}
        for tensor in tensors:
            _declare(values[tensor.name], tensor, batched=self.spec.max_batch_size > 0)
        # Shapes noted inside the graph may hold the pack's fixed batch.
        del model.graph.value_info[:]
        return ir.from_proto(model)

    def cases(self) -> Iterator[ParityCase]:
        """Run the pack's own graph, item by item, on noise of every shape.

        Raises:
            UnsupportedFacePack: It does not run.
        """
        for number, shapes in enumerate(self.shapes):
            rng = np.random.default_rng(number)
            inputs = {
                tensor.name: rng.uniform(0.0, 1.0, shape).astype(np.float32)
                for tensor, shape in zip(self.spec.inputs, shapes, strict=True)
            }
            words = " and ".join("x".join(map(str, shape)) for shape in shapes)
            yield ParityCase(f"inputs {words}", inputs, self._expected(inputs))

    @cached_property
    def original(self) -> onnxruntime.InferenceSession:
        """The pack's own graph.

        Raises:
            UnsupportedFacePack: ONNX Runtime does not take it.
        """
        try:
            return open_session(self.model.SerializeToString())
        except Exception as error:  # ONNX Runtime's errors share no base but Exception
            raise UnsupportedFacePack(f"{self.source} is no graph that ONNX Runtime runs: {error}") from error

    @cached_property
    def _surplus_axes(self) -> list[tuple[int, ...]]:
        """Axes of length 1 that the file's graph has beyond the contract's, by output."""
        shapes = self.shapes[0]
        item = [np.zeros((1, *shape[1:]), np.float32) for shape in shapes]
        ranks = [answer.ndim for answer in self._run(item)]
        batch = 1 if self.spec.max_batch_size else 0
        wanted = [len(tensor.axes) + batch for tensor in self.spec.outputs]
        # InsightFace takes the first item of a detector's batch, and flattens a recognizer's answer to one face.
        leading = self.spec is FACE_DETECTOR
        return [
            tuple(range(rank - want)) if leading else tuple(range(want, rank))
            for rank, want in zip(ranks, wanted, strict=True)
        ]

    def _expected(self, inputs: Tensors) -> Tensors:
        """Return the original's answers as InsightFace reads them."""
        items = len(next(iter(inputs.values()))) if self.spec.max_batch_size else 1
        parts = [
            [self._as_read(answer) for answer in self._run([array[item : item + 1] for array in inputs.values()])]
            for item in range(items)
        ]
        names = [tensor.name for tensor in self.spec.outputs]
        return {name: np.concatenate([part[k] for part in parts]) for k, name in enumerate(names)}

    def _as_read(self, answer: np.ndarray) -> np.ndarray:
        if self.spec is FACE_DETECTOR:
            return answer[0] if answer.ndim == 3 else answer
        return answer.reshape(1, -1) if self.spec in (FACE_RECOGNIZER, FACE_VERIFIER) else answer

    def _run(self, arrays: Iterable[np.ndarray]) -> list[np.ndarray]:
        feeds = dict(zip(self.inputs, arrays, strict=True))
        try:
            return list(self.original.run(self.outputs, feeds))
        except UnsupportedFacePack:
            raise
        except Exception as error:  # ONNX Runtime's errors share no base but Exception
            shapes = " and ".join("x".join(map(str, array.shape)) for array in feeds.values())
            raise UnsupportedFacePack(f"{self.source} does not run on inputs {shapes}: {error}") from error


def face_network(spec: ModelSpec, files: FaceFiles, *, fixed: bool) -> FaceNetwork:
    """Return one of the pack's networks.

    Args:
        spec: Its contract.
        files: The pack.
        fixed: Whether the detector will see only its own size.

    Raises:
        UnsupportedFacePack: As ``FaceNetwork`` does.
    """
    crops = [((batch, 3, 112, 112),) for batch in (1, 3)]
    if spec is FACE_SWAPPER and files.swapper is not None:
        return FaceNetwork(spec, files.swapper, [((1, 3, 128, 128), (1, 512))])
    if spec is FACE_RECOGNIZER:
        return FaceNetwork(spec, files.recognizer, crops)
    if spec is FACE_VERIFIER and files.verifier is not None:
        return FaceNetwork(spec, files.verifier, crops)
    if spec is not FACE_DETECTOR:
        raise UnsupportedFacePack(f"the pack has no {spec.name}")
    detector = FaceNetwork(spec, files.detector, ())
    own = (files.detection_size, files.detection_size)
    free = () if fixed or is_fixed(detector) else ((CLOSE_UP, CLOSE_UP), OBLONG)
    detector.shapes = tuple(((1, 3, *size),) for size in dict.fromkeys((own, *free)))
    return detector


def open_exported(network: FaceNetwork) -> onnxruntime.InferenceSession:
    """Open a network as it would be exported, without writing it.

    Raises:
        UnsupportedFacePack: It does not run under the contract's axes, or TensorRT's parser would not take it.
    """
    model = network.graph()
    try:
        simplify(model)
        check_operators(model, network.spec.name)
        return open_session(ir.to_proto(model).SerializeToString())
    except UnsupportedGraph as error:
        raise UnsupportedFacePack(f"{network.source} cannot be served: {error}") from error
    except Exception as error:  # ONNX Runtime's errors share no base but Exception
        raise UnsupportedFacePack(f"{network.source} does not run under the contract's axes: {error}") from error


def face_settings(files: FaceFiles, *, fixed: bool) -> FaceSettings:
    """Return the settings of face detection: InsightFace's defaults, or the detector's own size if that is smaller.

    Args:
        files: The pack.
        fixed: Whether the detector will see only its own size.
    """
    side = files.detection_size
    canvas = side if fixed else files.detector_side
    return FaceSettings(tuple(sorted({min(CLOSE_UP, side), side})), detection_canvas=canvas)


def is_fixed(detector: FaceNetwork) -> bool:
    """Return whether the graph takes a single size."""
    return all(isinstance(length, int) for length in dims_of(graph_inputs(detector.model.graph)[0])[2:])


def read_emap(swapper: Path) -> np.ndarray:
    """Return the swapper's embedding map, float32 (512, 512): the last initializer of its graph, by position.

    Raises:
        UnsupportedFacePack: The last initializer is something else.
    """
    weights = read_graph(swapper).graph.initializer
    emap = numpy_helper.to_array(weights[-1]) if weights else np.zeros(0)
    if emap.shape != EMAP_SHAPE or emap.dtype.kind != "f":
        raise UnsupportedFacePack(
            f"{swapper} ends with an initializer of shape {emap.shape}, not with emap, as InsightFace's swapper does"
        )
    return np.ascontiguousarray(emap, dtype=np.float32)


def rename_values(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename values throughout ``graph``, those of subgraphs included; a value in the way gets an underscore."""
    taken = {name for node in graph.node for name in (*node.input, *node.output)} - set(names)
    taken |= {value.name for value in graph.initializer} - set(names)
    renamed = {name: f"{name}_" for name in taken & set(names.values())} | dict(names)

    def new(name: str) -> str:
        return renamed.get(name, name)

    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = new(value.name)
    for weight in graph.initializer:
        weight.name = new(weight.name)
    for node in graph.node:
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                rename_values(attribute.g, renamed)


def _squeezed(model: onnx.ModelProto, output: str, axes: tuple[int, ...]) -> str:
    """Remove axes of length 1 from an output of a graph; return its new name."""
    graph, name = model.graph, f"{output}_squeezed"
    opset = next(known.version for known in model.opset_import if known.domain in ("", "ai.onnx"))
    if opset < AXES_AS_INPUT:
        node = onnx.helper.make_node("Squeeze", [output], [name], axes=axes)
    else:
        graph.initializer.append(numpy_helper.from_array(np.array(axes, np.int64), f"{name}_axes"))
        node = onnx.helper.make_node("Squeeze", [output, f"{name}_axes"], [name])
    graph.node.append(node)
    value = next(value for value in graph.output if value.name == output)
    value.name = name
    return name


def _declare(value: onnx.ValueInfoProto, tensor: TensorSpec, *, batched: bool) -> None:
    """Declare the contract's axes, fixed where the contract or the graph fixes them; the gate verifies them."""
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


def _normalizes_inside(graph: onnx.GraphProto) -> bool:
    """Return whether InsightFace would treat the graph as converted from MXNet; the rule is the library's."""
    first = [node.name for node in graph.node[:8]]
    return any(name.startswith(("Sub", "_minus")) for name in first) and any(
        name.startswith(("Mul", "_mul")) for name in first
    )
