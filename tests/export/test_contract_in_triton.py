"""Triton does not start a network that breaks its contract, whatever the repository's files say."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest

from eacps.errors import TritonUnavailable
from eacps.triton.embedded import EmbeddedTriton
from tests.export.packs import arcface, port


@pytest.mark.parametrize("declares_the_truth", [True, False])
def test_a_recognizer_of_another_width_does_not_start(
    model_repository_dir: Path, tmp_path: Path, declares_the_truth: bool
) -> None:
    """Served alone: the sampler beside it would refuse the changed file before."""
    repository, log = tmp_path / "repository", tmp_path / "triton.log"
    shutil.copytree(model_repository_dir / "face_recognizer", repository / "face_recognizer")
    network = repository / "face_recognizer" / "1" / "network.onnx"
    for file in network.parent.glob("network.onnx*"):
        file.unlink()
    model = onnx.load(arcface(tmp_path / "rec.onnx", features=192))
    for node in model.graph.node:
        node.input[:] = ["input" if name == "crop" else name for name in node.input]
        node.output[:] = ["embedding" if name == "683" else name for name in node.output]
    model.graph.input[0].name = "input"
    del model.graph.output[:]
    model.graph.output.append(port("embedding", ["batch", 192 if declares_the_truth else 512]))
    onnx.save(model, network)
    with pytest.raises(TritonUnavailable), EmbeddedTriton(repository, log_file=log):
        pass
    shape = "batch, 192" if declares_the_truth else "1, 192"
    wanted = "batch, 512" if declares_the_truth else "batch=1, 512"
    said = log.read_text(encoding="utf-8")
    assert f"face_recognizer breaks the contract: output embedding has shape [{shape}] instead of [{wanted}]" in said
