"""Whether the files of a face pack can play their roles. The networks are run, before anything is exported.

The shapes that a graph declares are not trusted, because exporters often declare wrong ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from insightface.model_zoo.scrfd import SCRFD
from onnx.helper import tensor_dtype_to_np_dtype

from eacps.contract import output_violations, violation
from eacps.tensors import FACE_DETECTOR, FACE_RECOGNIZER, FACE_SWAPPER, FACE_VERIFIER, ModelSpec
from export.face_pack import (
    FaceFiles,
    UnsupportedFacePack,
    dims_of,
    form_of,
    graph_inputs,
    network_sha256,
    read_graph,
    role_of,
)
from export.networks.faces import FaceNetwork, face_network, open_exported, read_emap
from export.networks.network import ParityCase, Tensors
from export.parity import TOLERANCE, relative_error

STRIDES = (8, 16, 32)
ANCHORS_PER_CELL = 2
HEADS = len(FACE_DETECTOR.outputs)
KINDS_OF_SCRFD = {
    6: "finds no landmarks, without which faces cannot be aligned",
    10: "has strides 8 to 128 and finds no landmarks",
    15: "has strides 8 to 128; strides 8, 16 and 32 are needed",
}
MIN_FEATURES = 64
"""Least length of an embedding: a network that answers with less classifies age or expression, not identity."""
OVERSHOOT = 0.1
"""How far a swapper's colors may lie outside of 0 to 1; what does is clipped, as InsightFace does."""
ROLES = {
    FACE_DETECTOR: "face detector",
    FACE_RECOGNIZER: "face recognizer",
    FACE_SWAPPER: "face swapper",
    FACE_VERIFIER: "held-out recognizer",
}
FORMS = {"detector": ROLES[FACE_DETECTOR], "recognizer": ROLES[FACE_RECOGNIZER], "swapper": ROLES[FACE_SWAPPER]}


def check_faces(files: FaceFiles, *, fixed: bool) -> None:
    """Check that every file of a pack can play its role.

    Args:
        files: The pack.
        fixed: Whether the detector will see its own size alone.

    Raises:
        UnsupportedFacePack: One cannot; the message names the file and says why.
    """
    _check(FACE_DETECTOR, files.detector, files, fixed, _detector_errors)
    _check(FACE_RECOGNIZER, files.recognizer, files, fixed, _embedding_errors)
    if files.swapper is not None:
        _check(FACE_SWAPPER, files.swapper, files, fixed, _swapper_errors)
        read_emap(files.swapper)
    if files.verifier is not None:
        _check(FACE_VERIFIER, files.verifier, files, fixed, _embedding_errors)
        if network_sha256(files.verifier) == network_sha256(files.recognizer) or _answer_alike(files, fixed=fixed):
            raise UnsupportedFacePack(f"{files.verifier} is the recognizer itself, and so not held out")


# Runs the graph as it would be exported.
Ask = Callable[[Tensors], Tensors]
# What is wrong with the answers to one case, in words.
ErrorCheck = Callable[[ParityCase, Tensors, Ask], Iterator[str]]


def _check(spec: ModelSpec, path: Path, files: FaceFiles, fixed: bool, errors_of: ErrorCheck) -> None:
    if wrong := [*_form_errors(spec, path)]:
        other = FORMS.get(role_of(path) or "")
        hint = f" (it has the form of a {other})" if other not in (None, ROLES[spec]) else ""
        raise UnsupportedFacePack(f"{path} is no {ROLES[spec]}{hint}: {wrong[0]}")
    network = face_network(spec, files, fixed=fixed)
    cases = list(network.cases())
    session = open_exported(network)

    def ask(inputs: Tensors) -> Tensors:
        names = [tensor.name for tensor in spec.outputs]
        return dict(zip(names, session.run(names, inputs), strict=True))

    for case in cases:
        answers = _answer(network, ask, case)
        found = [*output_violations(spec, case.inputs, answers), *_number_errors(answers)]
        if found := found or [*errors_of(case, answers, ask)]:
            raise UnsupportedFacePack(f"{path} is no {ROLES[spec]}: {found[0]} ({case.description})")
        _compare(network, case, answers)
    if spec is FACE_DETECTOR:
        _compare_detections(network, session)


def _answer_alike(files: FaceFiles, *, fixed: bool) -> bool:
    """Return whether recognizer and verifier are one network, perhaps saved twice."""
    networks = (face_network(spec, files, fixed=fixed) for spec in (FACE_RECOGNIZER, FACE_VERIFIER))
    first, second = (next(network.cases()).expected["embedding"] for network in networks)
    return first.shape == second.shape and relative_error(first, second) <= TOLERANCE


def _form_errors(spec: ModelSpec, path: Path) -> Iterator[str]:
    """Compare what the file declares of its inputs and outputs with what the role needs."""
    graph = read_graph(path, weights=False).graph
    inputs = graph_inputs(graph)
    if len(inputs) != len(spec.inputs) or len(graph.output) != len(spec.outputs):
        kind = KINDS_OF_SCRFD.get(len(graph.output)) if spec is FACE_DETECTOR else None
        needed = f"{_counted(len(spec.inputs), 'input')} and {_counted(len(spec.outputs), 'output')}"
        yield kind or f"it is {form_of(path)}, where {needed} are needed"
    for value, tensor in zip(inputs, spec.inputs, strict=False):
        dtype = _dtype_of(value.type.tensor_type.elem_type)
        declared: list[int | str] = dims_of(value) or ["?"] * (len(tensor.axes) + (spec.max_batch_size > 0))
        if wrong := violation(tensor, dtype, declared, {}, batched=spec.max_batch_size > 0):
            yield f"its input {value.name} {wrong}"
    if spec is FACE_DETECTOR and len(dims := dims_of(inputs[0])) == 4:
        yield from _size_errors(*dims[2:])


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _size_errors(height: int | str, width: int | str) -> Iterator[str]:
    """Yield why a detector's input size cannot be used: pictures are fitted into squares of a multiple of 32 pixels."""
    fixed = [length for length in (height, width) if isinstance(length, int)]
    if len(fixed) == 1 or (fixed and (height != width or fixed[0] % max(STRIDES))):
        yield f"it takes {height}x{width} pixels, not squares of a multiple of {max(STRIDES)}, or any size"


def _answer(network: FaceNetwork, ask: Ask, case: ParityCase) -> Tensors:
    try:
        return ask(case.inputs)
    except Exception as error:  # ONNX Runtime's errors share no base but Exception
        many = len(next(iter(case.inputs.values()))) > 1
        why = "its batch size is written inside the graph" if many else "it does not run"
        raise UnsupportedFacePack(
            f"{network.source} cannot serve as {ROLES[network.spec]}: {why} ({case.description}): {error}"
        ) from error


def _number_errors(answers: Tensors) -> Iterator[str]:
    for name, answer in answers.items():
        if not np.isfinite(answer).all():
            yield f"output {name} holds what is no finite number"


def _detector_errors(case: ParityCase, answers: Tensors, _ask: Ask) -> Iterator[str]:
    """Check for SCRFD's form: two anchors a cell at each stride, scores that are probabilities."""
    height, width = case.inputs["input"].shape[2:]
    for stride in STRIDES:
        wanted = ANCHORS_PER_CELL * (height // stride) * (width // stride)
        for head in ("score", "bbox", "kps"):
            found = len(answers[f"{head}_{stride}"])
            if found != wanted:
                yield f"output {head}_{stride} has {found} anchors instead of {wanted}"
        scores = answers[f"score_{stride}"]
        if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
            yield f"output score_{stride} holds no probabilities"


def _embedding_errors(_case: ParityCase, answers: Tensors, _ask: Ask) -> Iterator[str]:
    embeddings = answers["embedding"]
    if embeddings.shape[1] < MIN_FEATURES:
        yield f"{embeddings.shape[1]} numbers are no embedding of a face"
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(embeddings, axis=1)
    if not (lengths > 0).all() or not np.isfinite(lengths).all():
        yield "an embedding is zero, or too long to be normalized"
    if embeddings.min() >= 0 and np.allclose(embeddings.sum(axis=1), 1, atol=1e-3):
        yield "its answers are probabilities of classes, no embedding of a face"
    if len(embeddings) > 1 and np.ptp(embeddings, axis=0).max() == 0:
        yield "it answers the same to every picture"


def _swapper_errors(case: ParityCase, answers: Tensors, ask: Ask) -> Iterator[str]:
    low, high = float(answers["output"].min()), float(answers["output"].max())
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        yield f"its answer runs from {low:.2f} to {high:.2f}, where colors from 0 to 1 are needed"
    for name, what in (("target", "picture"), ("source", "identity")):
        other = ask({**case.inputs, name: 1.0 - case.inputs[name]})
        if np.array_equal(other["output"], answers["output"]):
            yield f"its answer does not depend on the {what}"


def _compare(network: FaceNetwork, case: ParityCase, answers: Tensors) -> None:
    for name, expected in case.expected.items():
        if not relative_error(answers[name], expected) <= TOLERANCE:
            raise UnsupportedFacePack(
                f"{network.source} cannot serve as {ROLES[network.spec]}: several pictures at once get other answers "
                f"than one by one ({case.description})"
            )


def _compare_detections(network: FaceNetwork, exported: onnxruntime.InferenceSession) -> None:
    """Compare the exported graph with the file, both decoded by InsightFace, at every anchor."""
    side = network.shapes[0][0][-1]
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    read = [SCRFD(session=session).forward(picture, 0.0) for session in (network.original, exported)]
    for of_file, of_export in zip(*(chain.from_iterable(parts) for parts in read), strict=True):
        if not relative_error(of_export, of_file) <= TOLERANCE:
            raise UnsupportedFacePack(f"InsightFace reads {network.source} otherwise than what would be exported of it")


def _dtype_of(element: int) -> str:
    """Return numpy's name of an ONNX element type, or "none" for what is no tensor."""
    known = element in onnx.TensorProto.DataType.values() and element != onnx.TensorProto.UNDEFINED
    return str(tensor_dtype_to_np_dtype(element)) if known else "none"
