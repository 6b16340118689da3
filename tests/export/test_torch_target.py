"""The torch target: programs of torch in the Python backend of a real Triton, on the CPU here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import QwenImageEditPlusPipeline

from eacps.models.torch_network import on_device
from eacps.triton.embedded import EmbeddedTriton
from eacps.triton.gateway import TritonGateway
from export.backbones.qwen_image_edit.denoiser import DenoiserNetwork
from export.backbones.qwen_image_edit.text_encoder import TextEncoderNetwork, shapes_for
from export.precision import Precision
from export.prepared import prepare
from export.repository import export_repository
from export.request import ExportRequest, gather
from export.targets.target import Bench
from export.targets.torch import TORCH
from studio_mini.architecture import build_text_encoder, build_transformer
from studio_mini.tokenizer import train_tokenizer
from tests.export.test_networks import VISION
from tests.oracle.reference import assert_same_picture, reference_picture
from tests.oracle.test_pictures import PRIOR, PROMPT, REFERENCE, STEPS, request


@pytest.fixture(scope="module")
def repository(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    asked = ExportRequest(str(checkpoint_dir), target="torch", precision="fp32")
    output = tmp_path_factory.mktemp("torch") / "repository"
    manifest = export_repository(prepare(gather(asked)), output)
    assert manifest.target == "torch"
    return output


@pytest.mark.timeout(600)
async def test_it_makes_the_pipelines_pictures(
    repository: Path, pipeline: QwenImageEditPlusPipeline, tmp_path: Path
) -> None:
    files = {path.name for path in (repository / "denoiser" / "1").iterdir()}
    assert files == {"model.py", "network.pt2"}
    with EmbeddedTriton(repository, log_file=tmp_path / "triton.log") as triton:
        gateway = await TritonGateway.connect(triton.grpc_url)
        try:
            served = await gateway.describe()
            assert (served.target, served.precision) == ("torch", "fp32")
            made = await gateway.generate(request(5))
        finally:
            await gateway.close()
    assert_same_picture(made.pictures[0], reference_picture(pipeline, [PRIOR, REFERENCE], PROMPT, 5, steps=STEPS))


def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where torch finds no room for a program it aborts."""
    network = DenoiserNetwork(build_transformer(layers=1))
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        TORCH.install(network, Precision.FP32, Bench(tmp_path, tmp_path, tmp_path, ()))
    assert raised.value.filename == str(tmp_path / "network.pt2")
    assert not list(tmp_path.iterdir())


def test_a_program_moves_whole_to_another_device() -> None:
    """It makes tensors on the way, and remembers where it was traced: on a GPU one left behind is an error."""
    networks = [
        DenoiserNetwork(build_transformer(layers=2)),
        TextEncoderNetwork(build_text_encoder(train_tokenizer()), VISION, shapes_for((8, 8))),
    ]
    for network in networks:
        program = on_device(network.program(Precision.BF16, fused=True), torch.device("meta"))
        devices = {
            value
            for node in program.graph.nodes
            for value in (*node.args, *node.kwargs.values())
            if isinstance(value, torch.device)
        }
        assert devices <= {torch.device("meta")}, network.spec.name
