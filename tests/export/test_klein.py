"""FLUX.2 klein is exported: every network as a graph, two in BF16, one as a program of torch, and planned."""

from __future__ import annotations

import copy
import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import Flux2KleinPipeline
from rich.console import Console
from safetensors.torch import save_file

from eacps.licenses import business_use
from eacps.manifest import Manifest
from eacps.models.backbones.flux2_klein.contract import DENOISER, TEXT_ENCODER
from eacps.models.checkpoint_config import Guidance, UnsupportedCheckpoint
from eacps.tensors import VAE_DECODER, VAE_ENCODER, VLM_JUDGE
from export import run
from export.backbones.flux2_klein.checkpoint import CheckpointSettings, load_transformer
from export.backbones.flux2_klein.exporter import EXPORTER
from export.backbones.flux2_klein.shapes import KleinShapes
from export.checkpoint import IncompleteCheckpoint
from export.estimates import GIB
from export.jobs import network_jobs
from export.lora import Lora
from export.lora_file import UnusableLora
from export.networks.network import TorchNetwork
from export.parity import TOLERANCE, check_parity, onnx_answers
from export.plan import plan_of
from export.precision import Precision
from export.prepared import PreparedCheckpoint, prepare
from export.request import ExportRequest, InvalidOption, gather
from export.serving import programs_of
from export.targets import TARGETS
from export.targets.target import Bench
from export.weights import check_headers
from tests.export.graph_files import KLEIN_DENOISER, KLEIN_TEXT_ENCODER, graph_file
from tests.export.klein_full_size import write_configurations
from tests.export.lora_files import pairs, parameters, save_named
from tests.models.klein import SETTINGS, write_checkpoint

pytestmark = [
    # torch's exporter uses what torch has deprecated.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
    pytest.mark.timeout(600),
]
NETWORKS = (DENOISER.name, TEXT_ENCODER.name, VAE_ENCODER.name, VAE_DECODER.name)


@pytest.fixture(scope="module")
def networks(klein_checkpoint_dir: Path) -> dict[str, TorchNetwork]:
    jobs = network_jobs(prepare(gather(ExportRequest(str(klein_checkpoint_dir)))))
    loaded = {job.spec.name: job.load() for job in jobs if job.spec.name in NETWORKS}
    return {name: network for name, network in loaded.items() if isinstance(network, TorchNetwork)}


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory, checkpoint_dir: Path) -> PreparedCheckpoint:
    folder = write_configurations(tmp_path_factory.mktemp("full") / "FLUX.2-klein-4B")
    request = ExportRequest(str(folder), target="torch", faces=str(checkpoint_dir / "faces"))
    return prepare(gather(request, weights=False))


def test_every_graph_answered_as_its_original_when_it_was_exported(klein_repository_dir: Path) -> None:
    manifest = Manifest.read(klein_repository_dir)
    assert manifest is not None
    for name in NETWORKS:
        figures = manifest.models[name].parity
        assert len(figures) >= 2, name
        assert all(0 < figure.error <= figure.allowed == TOLERANCE for figure in figures), name


@pytest.mark.parametrize("graph", [KLEIN_DENOISER, KLEIN_TEXT_ENCODER])
def test_a_graph_in_bf16_passes_the_gate(graph: str, networks: dict[str, TorchNetwork]) -> None:
    network = networks[DENOISER.name if graph == KLEIN_DENOISER else TEXT_ENCODER.name]
    path = graph_file(graph, Precision.BF16)
    figures = check_parity(network, onnx_answers(path, network, Precision.BF16), Precision.BF16)
    assert all(figure.error > 0 for figure in figures)


def test_a_program_of_torch_passes_the_gate_in_bf16(networks: dict[str, TorchNetwork], tmp_path: Path) -> None:
    target, network = TARGETS["torch"], networks[DENOISER.name]
    answers = target.install(network, Precision.BF16, Bench(tmp_path, tmp_path, tmp_path, ()))
    figures = check_parity(network, answers, Precision.BF16, target.tolerance)
    assert all(figure.error > 0 for figure in figures)


def test_all_weights_are_accounted_for_the_batch_norms_counter_too(klein_checkpoint_dir: Path) -> None:
    prepared = prepare(gather(ExportRequest(str(klein_checkpoint_dir))))
    modules = {name: getattr(prepared.pipeline, name) for name in prepared.backbone.parts}
    found = check_headers(klein_checkpoint_dir, modules, prepared.backbone.parts)
    assert found["vae"].tensors["bn.num_batches_tracked"].dtype == "I64"


def test_no_judge_is_served(full_size: PreparedCheckpoint) -> None:
    assert VLM_JUDGE not in programs_of(full_size)
    assert full_size.config.guidance is Guidance.DISTILLED
    assert full_size.settings == CheckpointSettings("FLUX.2-klein-4B", default_steps=4)


def test_the_published_size_is_planned(full_size: PreparedCheckpoint, tmp_path: Path) -> None:
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
    # In BF16, and the autoencoder, whose FP32 weights are a small share.
    assert 15.0 < plan_of(full_size, tmp_path).whole.disk / GIB < 15.5
    use = business_use({"denoiser": full_size.licenses["denoiser"]})
    assert use.answer == "yes"


@pytest.mark.parametrize("target", TARGETS)
def test_a_dry_run_says_what_it_takes(klein_checkpoint_dir: Path, tmp_path: Path, target: str) -> None:
    printed = Console(file=io.StringIO(), width=200)
    request = ExportRequest(str(klein_checkpoint_dir), target=target)
    run.plan(gather(request, weights=False), tmp_path / "repository", printed)
    said = printed.file.getvalue()  # type: ignore[attr-defined]
    assert f"klein-mini for {target}" in said
    assert "sizes 64x64; up to 3 pictures" in said
    assert "no judge: the scorers realism and prompt are not offered" in said


def test_cases_of_engines_are_those_of_the_buckets(full_size: PreparedCheckpoint) -> None:
    shapes = full_size.shapes.backbone
    assert isinstance(shapes, KleinShapes)
    denoiser, text = shapes.profiles(DENOISER), shapes.profiles(TEXT_ENCODER)
    for case in shapes.denoiser_cases(fixed=True):
        tokens = sum(rows * columns for rows, columns in case.grids)
        result = case.grids[0][0] * case.grids[0][1]
        assert any(
            one.least["latents"][1] == result
            and one.least["img_rope"][1] == tokens
            and one.least["encoder_hidden_states"][1] == case.text_tokens
            and case.batch <= one.largest["latents"][0]
            for one in denoiser
        ), case
    assert {case.tokens for case in shapes.text_cases(fixed=True)} == {text[0].least["input_ids"][1]}
    for spec in (VAE_ENCODER, VAE_DECODER):
        scale = full_size.config.vae_scale if spec is VAE_ENCODER else 1
        sizes = {next(iter(one.least.values()))[2:] for one in shapes.profiles(spec)}
        assert {(scale * rows, scale * columns) for _, rows, columns in shapes.vae_cases(spec, fixed=True)} == sizes


def test_a_schedule_for_qwens_loras_is_refused(klein_checkpoint_dir: Path) -> None:
    with pytest.raises(InvalidOption, match="--schedule lightning is for LoRAs of Qwen-Image-Edit"):
        prepare(gather(ExportRequest(str(klein_checkpoint_dir), schedule="lightning")))


def test_parts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    write_checkpoint(odd)
    replace(SETTINGS, text_layers=(1, 2)).write(odd)
    with pytest.raises(UnsupportedCheckpoint, match="takes embeddings of 96 channels, the text encoder gives 64"):
        prepare(gather(ExportRequest(str(odd))))
    (odd / "eacps.json").write_text('{"name": "odd", "text_layers": [0]}')
    with pytest.raises(IncompleteCheckpoint, match="text_layers is out of range"):
        prepare(gather(ExportRequest(str(odd))))


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


LORA_MODULES = (
    "x_embedder",
    "transformer_blocks.0.attn.to_q",
    "transformer_blocks.1.ff.linear_in",
    "single_transformer_blocks.0.attn.to_qkv_mlp_proj",
    "single_transformer_blocks.1.attn.to_out",
)


def test_a_lora_is_fused_as_diffusers_fuses_it(klein_checkpoint_dir: Path, tmp_path: Path) -> None:
    plain = load_transformer(klein_checkpoint_dir)
    drawn = pairs(plain, LORA_MODULES)
    file = save_named(
        tmp_path / "lora.safetensors", drawn, "transformer.{dotted}", ".lora_A.weight", ".lora_B.weight", None
    )
    prepared = prepare(gather(ExportRequest(str(klein_checkpoint_dir), lora=str(file), lora_scale=0.5)))
    assert prepared.lora is not None
    prepared.lora.check(prepared.pipeline.transformer)
    ours, theirs = copy.deepcopy(plain), copy.deepcopy(plain)
    prepared.lora.fuse_into(ours)
    pipeline = Flux2KleinPipeline(
        **dict.fromkeys(("scheduler", "vae", "text_encoder", "tokenizer")), transformer=theirs
    )
    pipeline.load_lora_weights(str(tmp_path), weight_name=file.name)
    pipeline.fuse_lora(lora_scale=0.5)
    pipeline.unload_lora_weights()
    before, got, expected = parameters(plain), parameters(ours), parameters(theirs)
    for name, weight in expected.items():
        torch.testing.assert_close(got[name], weight, rtol=1e-5, atol=1e-6)
    assert {name for name in got if not torch.equal(got[name], before[name])} == {f"{one}.weight" for one in drawn}


def test_a_lora_by_the_makers_names_is_refused_by_name(klein_checkpoint_dir: Path, tmp_path: Path) -> None:
    key = "diffusion_model.double_blocks.0.img_attn.qkv"
    save_file(
        {f"{key}.lora_A.weight": torch.ones(4, 64), f"{key}.lora_B.weight": torch.ones(192, 4)},
        tmp_path / "x.safetensors",
    )
    with pytest.raises(UnusableLora, match=r"double_blocks\.0\.img_attn\.qkv"):
        Lora(tmp_path / "x.safetensors", 1.0, EXPORTER.lora_loader).check(load_transformer(klein_checkpoint_dir))
