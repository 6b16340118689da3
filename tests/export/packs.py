"""Small graphs with the form of a face pack's networks, right and wrong in every way that real files are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Dims = Sequence[int | str]
VALUES = {"score": 1, "bbox": 4, "kps": 10}


def port(name: str, dims: Dims | None, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, dims)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: dict[str, np.ndarray],
    opset: int = 11,
) -> Path:
    graph = helper.make_graph(
        nodes, "pack", inputs, outputs, [numpy_helper.from_array(array, name) for name, array in weights.items()]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def scrfd(
    path: Path,
    *,
    size: Dims = ("?", "?"),
    rank: int = 2,
    declared_rank: int | None = None,
    anchors: int = 2,
    heads: Sequence[str] = ("score", "bbox", "kps"),
    strides: Sequence[int] = (8, 16, 32),
    probabilities: bool = True,
    by_stride: bool = False,
    works_at: int | None = None,
    channels_last: bool = False,
    dtype: int = TensorProto.FLOAT,
    opset: int = 11,
) -> Path:
    """A detector in form: mean colors of cells, mixed; by default as insightface's SCRFD reads it.

    Args:
        path: To write.
        size: Declared height and width.
        rank: Of the answers: 3 keeps the batch.
        declared_rank: Of the declared outputs, where they lie.
        anchors: For each cell.
        heads, strides: Outputs, by head and then by stride.
        probabilities: Whether scores are.
        by_stride: Whether outputs go by stride and then by head.
        works_at: Only side that it works at, whatever it declares.
        channels_last: Whether it takes [1, H, W, 3].
        dtype: Of the input.
        opset: 11 and 13 squeeze differently.
    """
    rng = np.random.default_rng(1)
    nodes, weights, outputs = [], {}, {}
    entry = "pixels"
    if dtype != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [entry], ["floats"], to=TensorProto.FLOAT))
        entry = "floats"
    if channels_last:
        nodes.append(helper.make_node("Transpose", [entry], ["nchw"], perm=[0, 3, 1, 2]))
        entry = "nchw"
    for stride in strides:
        pooled = f"pooled_{stride}"
        nodes.append(
            helper.make_node("AveragePool", [entry], [pooled], kernel_shape=[stride] * 2, strides=[stride] * 2)
        )
        for head in heads:
            name, values = f"{head}_{stride}", VALUES[head]
            form = [1, -1, values] if rank == 3 else [-1, values]
            if works_at is not None:
                form[form.index(-1)] = anchors * (works_at // stride) ** 2
            weights[f"{name}_w"] = rng.normal(0, 2, (anchors * values, 3, 1, 1)).astype(np.float32)
            weights[f"{name}_form"] = np.array(form, np.int64)
            answer = f"{name}_raw" if head == "score" and probabilities else name
            nodes += [
                helper.make_node("Conv", [pooled, f"{name}_w"], [f"{name}_mixed"]),
                helper.make_node("Transpose", [f"{name}_mixed"], [f"{name}_cells"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{name}_cells", f"{name}_form"], [answer]),
            ]
            if answer != name:
                nodes.append(helper.make_node("Sigmoid", [answer], [name]))
            declared = ["?"] * ((declared_rank or rank) - 1) + [values]
            outputs[head, stride] = port(name, declared)
    order = [(head, stride) for head in heads for stride in strides]
    if by_stride:
        order.sort(key=lambda key: key[1])
    dims = [1, *size, 3] if channels_last else [1, 3, *size]
    return save(path, nodes, [port("pixels", dims, dtype)], [outputs[key] for key in order], weights, opset)


def arcface(
    path: Path,
    *,
    features: int = 512,
    side: int = 112,
    batch: int | str = "None",
    inner_batch: int = -1,
    tail: Sequence[int] = (),
    constant: bool = False,
    gain: float = 1.0,
    dtype: int = TensorProto.FLOAT,
    seed: int = 2,
    opset: int = 11,
) -> Path:
    """A recognizer in form: mean colors of 49 cells, mixed.

    Args:
        path: To write.
        features: Numbers of an embedding.
        side: Of its crops, pixels.
        batch: As declared.
        inner_batch: Batch written inside the graph; -1 for none.
        tail: Further axes of the answer, such as (1, 1).
        constant: Whether it answers the same to every picture.
        gain: Factor on its answers.
        dtype: Of the input.
        seed: Of its weights.
        opset: 11 and 13 squeeze differently.
    """
    cell = side // 7
    weights = {
        "form": np.array([inner_batch, 3 * 49], np.int64),
        "tail": np.array([-1, features, *tail], np.int64),
        "mix": np.random.default_rng(seed).normal(size=(147, features)).astype(np.float32) * (not constant) * gain,
        "shift": np.full(features, gain, np.float32),
    }
    first = ["floats"] if dtype != TensorProto.FLOAT else ["crop"]
    nodes = [helper.make_node("Cast", ["crop"], first, to=TensorProto.FLOAT)] if first != ["crop"] else []
    nodes += [
        helper.make_node("AveragePool", first, ["cells"], kernel_shape=[cell] * 2, strides=[cell] * 2),
        helper.make_node("Reshape", ["cells", "form"], ["flat"]),
        helper.make_node("Gemm", ["flat", "mix", "shift"], ["mixed"]),
        helper.make_node("Reshape", ["mixed", "tail"], ["683"]),
    ]
    outputs = [port("683", [batch, features, *tail])]
    return save(path, nodes, [port("crop", [batch, 3, side, side], dtype)], outputs, weights, opset)


def inswapper(
    path: Path,
    *,
    side: int = 128,
    source_first: bool = False,
    emap_last: bool = True,
    uses_identity: bool = True,
    gain: float = 1.0,
    opset: int = 11,
) -> Path:
    """A swapper in form: the target, tinted by the identity; its colors from 0 to ``gain``."""
    weights = {
        "tint": np.random.default_rng(3).normal(size=(512, 3)).astype(np.float32) * uses_identity,
        "form": np.array([1, 3, 1, 1], np.int64),
        "gain": np.float32(gain),
        "emap": np.random.default_rng(4).normal(size=(512, 512)).astype(np.float32),
    }
    if not emap_last:
        weights = {"emap": weights.pop("emap"), **weights}
    nodes = [
        helper.make_node("MatMul", ["source", "tint"], ["color"]),
        helper.make_node("Reshape", ["color", "form"], ["colors"]),
        helper.make_node("Add", ["target", "colors"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["colored"]),
        helper.make_node("Mul", ["colored", "gain"], ["output"]),
    ]
    inputs = [port("target", [1, 3, side, side]), port("source", [1, 512])]
    return save(
        path, nodes, inputs[::-1] if source_first else inputs, [port("output", [1, 3, side, side])], weights, opset
    )
