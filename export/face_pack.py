"""Which files of a face pack are detector, recognizer and swapper, by our file names or by the form of their graphs."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data

from eacps.manifest import content_sha256

DETECTOR_FILE, RECOGNIZER_FILE, SWAPPER_FILE = "detector.onnx", "recognizer.onnx", "swapper.onnx"
VERIFIER_FILE = "verifier.onnx"
"""Held-out recognizer; a pack may lack it."""
PACK_FILES = (DETECTOR_FILE, RECOGNIZER_FILE, SWAPPER_FILE)

INSIGHTFACE_DETECTION_SIZE = 640
CROP_SIDE, SWAP_SIDE, DETECTOR_HEADS = 112, 128, 5


class IncompleteFacePack(Exception):
    """Files of the pack are missing, or cannot be told apart."""


class UnsupportedFacePack(Exception):
    """A file cannot play its role; the message names the file and says why."""


@dataclass(frozen=True)
class FaceFiles:
    """The ONNX files of the face models.

    Args:
        detector, recognizer: InsightFace's SCRFD and ArcFace, or graphs like theirs.
        swapper: InsightFace's inswapper, or a graph like it; None where priors are made without a face swap.
        verifier: Held-out recognizer, or None.
        detection_size: Side of the largest square, in pixels, that the detector is to see.
        detector_side: Side of the only square, in pixels, that the detector's graph takes; None where it takes any.
    """

    detector: Path
    recognizer: Path
    swapper: Path | None
    verifier: Path | None
    detection_size: int = INSIGHTFACE_DETECTION_SIZE
    detector_side: int | None = None


def find_faces(
    folder: Path,
    *,
    swapper: Path | None = None,
    verifier: Path | None = None,
    detection_size: int | None = None,
    without_swapper: bool = False,
) -> FaceFiles:
    """Assign the files of a pack to their roles.

    Args:
        folder: Of a pack, ours or InsightFace's; its other models (landmarks, age) are ignored.
        swapper, verifier: Instead of the pack's own.
        detection_size: That the detector is made for, where its graph takes any; None for InsightFace's.
        without_swapper: Whether to leave out the pack's own swapper.

    Raises:
        IncompleteFacePack: Detector or recognizer is missing, or two files could play a role.
        UnsupportedFacePack: A file of the pack cannot be read.
    """
    roles: dict[str, list[Path]] = {"detector": [], "recognizer": [], "swapper": []}
    for path in sorted(folder.glob("*.onnx")):
        if (role := role_of(path)) is not None and path.name != VERIFIER_FILE:
            roles[role].append(path)
    if swapper is not None or without_swapper:
        roles["swapper"] = [] if swapper is None else [swapper]
    detector, recognizer, found = (_at_most_one(role, paths, folder) for role, paths in roles.items())
    if detector is None or recognizer is None:
        raise IncompleteFacePack(_lacks(folder, "detector" if detector is None else "recognizer"))
    own, side = folder / VERIFIER_FILE, _fixed_side(detector)
    return FaceFiles(
        detector,
        recognizer,
        found,
        verifier or (own if own.exists() else None),
        side or detection_size or INSIGHTFACE_DETECTION_SIZE,
        side,
    )


def read_graph(path: Path, *, weights: bool = True) -> onnx.ModelProto:
    """Read an ONNX file.

    Args:
        path: The file.
        weights: Whether to read those that lie beside the file, too.

    Raises:
        UnsupportedFacePack: It is none, or cannot be read.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
        if weights:
            _load_weights_beside(path, model)
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise UnsupportedFacePack(f"{path} cannot be read as an ONNX file: {error}") from error
    if not graph_inputs(model.graph) or not model.graph.output:
        raise UnsupportedFacePack(f"{path} is no ONNX file of a network: it has no inputs or no outputs")
    return model


def files_of(path: Path) -> list[Path]:
    """Return an ONNX file and those beside it that hold its weights.

    Raises:
        UnsupportedFacePack: It cannot be read.
    """
    return [path, *_weights_beside(path, read_graph(path, weights=False))]


def network_sha256(path: Path) -> str:
    """Return the SHA-256 of an ONNX file's content, weights beside it included.

    Raises:
        UnsupportedFacePack: It cannot be read.
    """
    digests = [content_sha256(file) for file in files_of(path)]
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def _load_weights_beside(path: Path, model: onnx.ModelProto) -> None:
    """Load the weights that lie beside a file into its model.

    The caches of hubs and of deployments consist of links, which onnx refuses to follow; copies of their targets it
    takes.
    """
    files = _weights_beside(path, model)
    if not any(file.is_symlink() or file.stat().st_nlink > 1 for file in files):
        load_external_data_for_model(model, str(path.parent))
        return
    with TemporaryDirectory() as folder:
        for file in files:
            shutil.copyfile(file, Path(folder, file.name))
        load_external_data_for_model(model, folder)


def _weights_beside(path: Path, model: onnx.ModelProto) -> list[Path]:
    """Return the files that hold a model's weights, by name.

    Raises:
        UnsupportedFacePack: One does not lie beside the model's own file.
    """
    names = {ExternalDataInfo(one).location for one in _tensors_of(model.graph) if uses_external_data(one)}
    files = [path.parent / name for name in sorted(names)]
    for name, file in zip(sorted(names), files, strict=True):
        if Path(name).name != name or not file.is_file():
            raise UnsupportedFacePack(
                f"{path} cannot be read as an ONNX file: its weights {name!r} do not lie beside it"
            )
    return files


def _tensors_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the weights and constants of a graph and of the graphs inside it."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors_of(inner)


def graph_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs of a graph without its weights, which old exporters list among them."""
    weights = {weight.name for weight in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def dims_of(value: onnx.ValueInfoProto) -> list[int | str]:
    """Return a value's declared axes: numbers where they are fixed, else names or question marks."""
    return [dim.dim_value or dim.dim_param or "?" for dim in value.type.tensor_type.shape.dim]


def role_of(path: Path) -> str | None:
    """Return the role of a model, as InsightFace's router finds it: by numbers and sizes of inputs and outputs.

    Returns:
        ``detector``, ``recognizer`` or ``swapper``; None for anything else.

    Raises:
        UnsupportedFacePack: The file cannot be read.
    """
    graph = read_graph(path, weights=False).graph
    inputs = graph_inputs(graph)
    size = dims_of(inputs[0])[2:]
    if len(graph.output) >= DETECTOR_HEADS:
        return "detector"
    if len(inputs) == 2 and size == [SWAP_SIDE, SWAP_SIDE]:
        return "swapper"
    return "recognizer" if len(inputs) == 1 and size == [CROP_SIDE, CROP_SIDE] else None


def form_of(path: Path) -> str:
    """Describe a file by its inputs and outputs, for messages."""
    graph = read_graph(path, weights=False).graph
    entries, exits = graph_inputs(graph), list(graph.output)
    shown = ", ".join(_in_words(value) for value in entries)
    return f"{shown} -> {_in_words(exits[0]) if len(exits) == 1 else f'{len(exits)} outputs'}"


def _in_words(value: onnx.ValueInfoProto) -> str:
    return f"[{', '.join(map(str, dims_of(value)))}]"


def _lacks(folder: Path, role: str) -> str:
    files = [f"{path.name} {form_of(path)}" for path in sorted(folder.glob("*.onnx"))]
    return f"{folder} holds no {role}; its files: {'; '.join(files) or 'none that ends in .onnx'}"


def _at_most_one(role: str, paths: list[Path], folder: Path) -> Path | None:
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths)
        raise IncompleteFacePack(f"{folder} holds more than one {role}: {names}")
    return paths[0] if paths else None


def _fixed_side(detector: Path) -> int | None:
    size = dims_of(graph_inputs(read_graph(detector, weights=False).graph)[0])[2:]
    side = size[0] if len(size) == 2 and size[0] == size[1] else None
    return side if isinstance(side, int) else None
