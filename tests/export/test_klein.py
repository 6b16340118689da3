"""FLUX.2 klein is exported: every network as a graph, the denoiser in BF16 as a program of torch, and planned."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from eacps.licenses import business_use
from eacps.models.backbones.flux2_klein.contract import DENOISER, TEXT_ENCODER
from eacps.models.checkpoint_config import Guidance, UnsupportedCheckpoint
from eacps.tensors import VAE_DECODER, VAE_ENCODER, VLM_JUDGE
from export import run
from export.backbones.flux2_klein.checkpoint import CheckpointSettings
from export.checkpoint import IncompleteCheckpoint
from export.jobs import network_jobs
from export.networks.network import TorchNetwork
from export.parity import check_parity, onnx_answers
from export.precision import Precision
from export.prepared import PreparedCheckpoint, prepare
from export.request import ExportRequest, InvalidOption, gather
from export.serving import programs_of
from export.targets import TARGETS
from export.targets.target import Bench
from export.weights import check_headers
from tests.export.klein_full_size import write_configurations
from tests.models.klein import SETTINGS, write_checkpoint

pytestmark = [
    # torch's exporter uses what torch has deprecated.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
    pytest.mark.timeout(600),
]
NETWORKS = (DENOISER.name, TEXT_ENCODER.name, VAE_ENCODER.name, VAE_DECODER.name)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("klein") / "FLUX.2-klein-mini")


@pytest.fixture(scope="module")
def networks(checkpoint: Path, checkpoint_dir: Path) -> dict[str, TorchNetwork]:
    prepared = prepare(gather(ExportRequest(str(checkpoint), faces=str(checkpoint_dir / "faces"))))
    loaded = {job.spec.name: job.load() for job in network_jobs(prepared) if job.spec.name in NETWORKS}
    return {name: network for name, network in loaded.items() if isinstance(network, TorchNetwork)}


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory, checkpoint_dir: Path) -> PreparedCheckpoint:
    folder = write_configurations(tmp_path_factory.mktemp("full") / "FLUX.2-klein-4B")
    request = ExportRequest(str(folder), target="torch", faces=str(checkpoint_dir / "faces"))
    return prepare(gather(request, weights=False))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_graph_answers_as_the_original(name: str, networks: dict[str, TorchNetwork], tmp_path: Path) -> None:
    network = networks[name]
    network.write_onnx(tmp_path / "network.onnx", Precision.FP32)
    assert check_parity(network, onnx_answers(tmp_path / "network.onnx", network, Precision.FP32))


@pytest.mark.parametrize("name", [DENOISER.name])
def test_a_program_of_torch_passes_the_gate_in_bf16(
    name: str, networks: dict[str, TorchNetwork], tmp_path: Path
) -> None:
    target = TARGETS["torch"]
    answers = target.install(networks[name], Precision.BF16, Bench(tmp_path, tmp_path, tmp_path, ()))
    figures = check_parity(networks[name], answers, Precision.BF16, target.tolerance)
    assert all(figure.error > 0 for figure in figures)


def test_all_weights_are_accounted_for_the_batch_norms_counter_too(checkpoint: Path, checkpoint_dir: Path) -> None:
    prepared = prepare(gather(ExportRequest(str(checkpoint), faces=str(checkpoint_dir / "faces"))))
    modules = {name: getattr(prepared.pipeline, name) for name in prepared.backbone.parts}
    found = check_headers(checkpoint, modules, prepared.backbone.parts)
    assert found["vae"].tensors["bn.num_batches_tracked"].dtype == "I64"


def test_no_judge_is_served(full_size: PreparedCheckpoint) -> None:
    assert VLM_JUDGE not in programs_of(full_size)
    assert full_size.config.guidance is Guidance.DISTILLED
    assert full_size.settings == CheckpointSettings("FLUX.2-klein-4B", default_steps=4)


def test_the_published_size_is_planned(full_size: PreparedCheckpoint) -> None:
    jobs = {job.spec.name: job for job in network_jobs(full_size)}
    # "4B": the transformer, and Qwen3-4B, whose embeddings are its head.
    assert 3.8e9 < jobs[DENOISER.name].weights < 4.0e9
    assert 4.0e9 < jobs[TEXT_ENCODER.name].weights < 4.1e9
    profiles = full_size.shapes.profiles(DENOISER)
    assert len(profiles) == 4 * 3
    assert profiles[0].largest["latents"] == profiles[0].largest["picture_latents"] == (4, 64 * 64, 128)
    assert profiles[2].least["img_rope"] == (1, 4 * 64 * 64, 64, 2)
    assert profiles[0].least["encoder_hidden_states"] == (1, 512, 7680)
    assert full_size.shapes.profiles(TEXT_ENCODER)[0].least["input_ids"] == (1, 512)
    use = business_use({"denoiser": full_size.licenses["denoiser"]})
    assert use.answer == "yes"


def test_a_dry_run_says_what_it_takes(checkpoint: Path, checkpoint_dir: Path, tmp_path: Path) -> None:
    request = ExportRequest(str(checkpoint), target="torch", faces=str(checkpoint_dir / "faces"))
    printed = Console(file=io.StringIO(), width=200)
    run.plan(gather(request, weights=False), tmp_path / "repository", printed)
    said = printed.file.getvalue()  # type: ignore[attr-defined]
    assert "klein-mini for torch" in said
    assert "sizes 64x64; up to 3 pictures" in said


def test_tensorrt_is_refused(checkpoint: Path, checkpoint_dir: Path) -> None:
    request = ExportRequest(str(checkpoint), target="tensorrt", faces=str(checkpoint_dir / "faces"))
    with pytest.raises(InvalidOption, match="not exported for tensorrt"):
        prepare(gather(request))


def test_parts_that_do_not_fit_are_refused(checkpoint: Path, checkpoint_dir: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    write_checkpoint(odd)
    changed = CheckpointSettings(SETTINGS.name, side=64, text_tokens=48, text_layers=(1, 2))
    changed.write(odd)
    with pytest.raises(UnsupportedCheckpoint, match="takes embeddings of 96 channels, the text encoder gives 64"):
        prepare(gather(ExportRequest(str(odd), faces=str(checkpoint_dir / "faces"))))
    (odd / "eacps.json").write_text('{"name": "odd", "text_layers": [0]}')
    with pytest.raises(IncompleteCheckpoint, match="text_layers is out of range"):
        prepare(gather(ExportRequest(str(odd), faces=str(checkpoint_dir / "faces"))))


def test_the_last_block_is_computed_for_the_result_alone(networks: dict[str, TorchNetwork]) -> None:
    network = networks[DENOISER.name]
    case = next(network.cases())
    inputs = [torch.from_numpy(case.inputs[tensor.name]) for tensor in network.spec.inputs]
    seen: list[int] = []
    module = network.graph()
    module.joint_blocks[-1].to_out.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))  # type: ignore[index,union-attr]
    with torch.no_grad():
        module(*inputs)
    assert seen == [case.inputs["latents"].shape[1]]
