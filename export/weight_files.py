"""Which files hold a part's weights, and what their headers say: names, types and shapes, without reading a weight."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from export.listing import listed

SUFFIX = ".safetensors"
# How the safetensors format names the types that weights may have.
FLOATS = ("F64", "F32", "F16", "BF16")
# Formats that the loaders know, or that people have; none of them is read here.
OTHER_FORMATS = {
    ".gguf": "GGUF, which is quantized",
    ".bin": "a pickle",
    ".pt": "a pickle",
    ".pth": "a pickle",
    ".ckpt": "a pickle",
    ".msgpack": "Flax's format",
    ".h5": "TensorFlow's format",
    ".flashpack": "FlashPack",
    ".onnx": "ONNX",
}


class UnusableWeights(Exception):
    """A part's weights are not there, not readable, or not those that its configuration describes."""


@dataclass(frozen=True)
class Tensor:
    """What a header says of one tensor.

    Args:
        file: That holds it.
        dtype: As the safetensors format names it: ``BF16``, ``F8_E4M3``.
        shape: Of the tensor.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class WeightFiles:
    """The files that a part is loaded from.

    Args:
        folder: Of the part.
        variant: Such as ``fp16``, where there are files of a variant alone; to be given to the loader.
        tensors: All that the files hold, by name.
    """

    folder: Path
    variant: str | None
    tensors: Mapping[str, Tensor]


def find_weight_files(folder: Path, stem: str) -> WeightFiles:
    """Find the files that the loaders of diffusers and transformers would read, and read their headers.

    Args:
        folder: Of a part.
        stem: Of the files' names: ``model`` or ``diffusion_pytorch_model``.

    Raises:
        UnusableWeights: There are none, several sets of them, or files that contradict one another.
    """
    variant = _variant(folder, stem)
    marked = f".{variant}" if variant else ""
    single, index = folder / f"{stem}{marked}{SUFFIX}", folder / f"{stem}{SUFFIX}.index{marked}.json"
    if single.exists() and index.exists():
        raise UnusableWeights(f"{folder} holds both {single.name} and {index.name}: the loaders differ on which counts")
    return WeightFiles(folder, variant, _in_shards(index) if index.exists() else read_header(single))


def read_header(file: Path) -> dict[str, Tensor]:
    """Read the header of a safetensors file, whose end is checked against it.

    Raises:
        UnusableWeights: It is not readable, or cut short.
    """
    try:
        with safe_open(file, "pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118  # no mapping
            return {name: Tensor(file, one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}
    except (SafetensorError, OSError) as error:
        raise UnusableWeights(f"{file} cannot be read: {error}") from error


def _variant(folder: Path, stem: str) -> str | None:
    """Return None where there are plain files, else the only variant."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if f"{stem}{SUFFIX}" in names or f"{stem}{SUFFIX}.index.json" in names:
        return None
    single = re.compile(rf"{stem}\.(\w+){re.escape(SUFFIX)}")
    index = re.compile(rf"{stem}{re.escape(SUFFIX)}\.index\.(\w+)\.json")
    found = {match[1] for name in names for form in (single, index) if (match := form.fullmatch(name))}
    if len(found) == 1:
        return found.pop()
    if found:
        variants = ", ".join(sorted(found))
        raise UnusableWeights(f"{folder} holds several variants ({variants}) and no plain {stem}{SUFFIX}")
    raise UnusableWeights(_what_is_there(folder, stem, names))


def _what_is_there(folder: Path, stem: str, names: list[str]) -> str:
    others = {name: OTHER_FORMATS[suffix] for name in sorted(names) if (suffix := Path(name).suffix) in OTHER_FORMATS}
    missing = f"{folder} has no {stem}{SUFFIX} and no index of shards"
    if others:
        name, kind = next(iter(others.items()))
        return f"{missing}; {name} is {kind}, which is not supported"
    strangers = sorted(name for name in names if name.endswith(SUFFIX))
    return f"{missing}; it has {', '.join(strangers)}" if strangers else missing


def _in_shards(index: Path) -> dict[str, Tensor]:
    """Read the headers of all shards, which must hold what the index says and nothing else."""
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted(set(weight_map.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableWeights(f"{index} cannot be read: {error!r}") from error
    if missing := [name for name in shards if Path(name).name != name or not (index.parent / name).is_file()]:
        raise UnusableWeights(f"{index.parent} lacks {', '.join(missing)}, which {index.name} names")
    tensors: dict[str, Tensor] = {}
    for name in shards:
        held = read_header(index.parent / name)
        expected = {tensor for tensor, shard in weight_map.items() if shard == name}
        if contradictions := expected ^ held.keys():
            raise UnusableWeights(
                f"{index.parent / name} does not hold what {index.name} says: {listed(contradictions)}"
            )
        tensors |= held
    return tensors
