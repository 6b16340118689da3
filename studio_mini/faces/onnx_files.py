"""Writes the networks as ONNX files with InsightFace's tensor contracts and our tensor names, and reads them back."""

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn
from torch.export import Dim

from export.face_pack import DETECTOR_FILE, RECOGNIZER_FILE, SWAPPER_FILE, VERIFIER_FILE
from studio_mini.faces.alignment import RECOGNIZER_SIZE, SWAPPER_SIZE
from studio_mini.faces.detector import STRIDES, Detector, DetectorGraph
from studio_mini.faces.recognizer import Recognizer
from studio_mini.faces.swapper import LATENT, Swapper, SwapperGraph
from studio_mini.faces.verifier import Verifier

OPSET = 18
EMAP_NAME = "emap"


def write_detector(network: Detector, folder: Path) -> Path:
    """Write the detector: ``input`` [1, 3, H, W], H and W multiples of 32, to nine outputs without batch axis."""
    names = [f"{head}_{stride}" for head in ("score", "bbox", "kps") for stride in STRIDES]
    # Multiples of 32, said to the exporter as such: else it pins the sizes of the feature maps to the example's.
    height, width = 32 * Dim("rows", min=2, max=64), 32 * Dim("columns", min=2, max=64)
    path = folder / DETECTOR_FILE
    _export(DetectorGraph(network), (torch.zeros(1, 3, 128, 160),), path, ["input"], names, ({2: height, 3: width},))
    return path


def write_recognizer(network: Recognizer, folder: Path) -> Path:
    """Write the recognizer: ``input`` [B, 3, 112, 112] to ``embedding`` [B, 512]."""
    example = torch.zeros(2, 3, RECOGNIZER_SIZE, RECOGNIZER_SIZE)
    path = folder / RECOGNIZER_FILE
    _export(network, (example,), path, ["input"], ["embedding"], ({0: Dim.DYNAMIC},))
    return path


def write_verifier(network: Verifier, folder: Path) -> Path:
    """Write the held-out verifier: ``input`` [B, 3, 112, 112] to ``embedding`` [B, 256]."""
    example = torch.zeros(2, 3, RECOGNIZER_SIZE, RECOGNIZER_SIZE)
    path = folder / VERIFIER_FILE
    _export(network, (example,), path, ["input"], ["embedding"], ({0: Dim.DYNAMIC},))
    return path


def write_swapper(network: Swapper, emap: NDArray[np.float32], folder: Path) -> Path:
    """Write the swapper: ``target`` [1, 3, 128, 128], ``source`` [1, 512] to ``output``; ``emap`` [512, 512] goes last.

    No node reads ``emap``: it is data for the host, where InsightFace looks for it.
    """
    example = (torch.zeros(1, 3, SWAPPER_SIZE, SWAPPER_SIZE), torch.zeros(1, LATENT))
    path = folder / SWAPPER_FILE
    _export(SwapperGraph(network), example, path, ["target", "source"], ["output"], None)
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(emap, np.float32), EMAP_NAME))
    onnx.save(model, path)
    return path


def read_swapper(folder: Path) -> tuple[Swapper, NDArray[np.float32]]:
    """Read back what ``write_swapper`` wrote, to train on from there: the network and its ``emap`` [512, 512]."""
    weights = _weights(folder / SWAPPER_FILE)
    network = Swapper()
    network.load_state_dict({name: weights[f"network.{name}"] for name in network.state_dict()})
    return network, weights[EMAP_NAME].numpy()


def read_recognizer(path: Path) -> Recognizer:
    """Read back, for inference, what ``write_recognizer`` wrote: the exporter has folded norms into convolutions.

    A folded norm is restored as one that only adds the folded bias, so the network computes the same in ``eval`` mode.
    """
    weights = _weights(path)
    network = Recognizer()
    modules = dict(network.named_modules())
    state = network.state_dict()
    for name in [name.removesuffix("_bias") for name in weights if name.endswith("weight_bias")]:
        norm = _norm_after(name.removesuffix(".weight"))
        state[f"{norm}.bias"] = weights[f"{name}_bias"]
        state[f"{norm}.weight"] = torch.full_like(state[f"{norm}.weight"], (1 + modules[norm].eps) ** 0.5)
    state |= {name: value for name, value in weights.items() if name in state}
    network.load_state_dict(state)
    return network.eval()


def _norm_after(layer: str) -> str:
    """Name the norm that follows ``layer`` in `Recognizer`."""
    if layer == "project":
        return "norm"
    parent, _, number = layer.rpartition(".")
    return f"{parent}.{int(number) + 1}"


def _weights(path: Path) -> dict[str, Tensor]:
    """Initializers of an ONNX file by name."""
    graph = onnx.load(path).graph
    return {weight.name: torch.from_numpy(numpy_helper.to_array(weight).copy()) for weight in graph.initializer}


def _export(
    network: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    dynamic: tuple[dict[int, Dim], ...] | None,
) -> None:
    """Export in inference mode, one file, weights inside, without the exporter's notes on where nodes came from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    program = torch.onnx.export(
        network.eval(),
        example,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=dynamic,
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch.onnx.export(dynamo=True) returned no program")
    program.save(path)
    model = onnx.load(path)
    del model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, path)
