"""Every engine, built with its own profiles, and three of the published width with the published profiles.

Minutes and gigabytes: ``make test-engines`` runs them. The figures go to ``out/engines.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from diffusers import Flux2Transformer2DModel, QwenImageTransformer2DModel
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from eacps.models.backbones import networks_of
from eacps.models.backbones.qwen_image_edit.contract import DENOISER, TEXT_ENCODER
from eacps.models.onnx_network import NETWORK_FILE
from eacps.tensors import Kind
from export.backbones.flux2_klein.denoiser import DenoiserNetwork as KleinDenoiserNetwork
from export.backbones.qwen_image_edit.denoiser import DenoiserNetwork
from export.backbones.qwen_image_edit.text_encoder import TextEncoderNetwork, shapes_for
from export.jobs import network_jobs
from export.networks.network import TorchNetwork
from export.precision import Precision
from export.prepared import PreparedCheckpoint
from export.profiles import Profile
from tests.conftest import ROOT, STUDIO_MODELS
from tests.engines.tensorrt_rtx import Figures, TensorRt
from tests.export import klein_full_size
from tests.export.full_size import TEXT, VISION, planned, write_configurations
from tests.export.graph_files import GRAPHS, graph_file, job_of, klein_jobs, studio_jobs

pytestmark = [
    pytest.mark.engines,
    # torch's exporter uses what torch has deprecated.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]

REPORT = ROOT / "out" / "engines.md"
HEADER = """| engine | profiles | layers | parse s | build s | engine MB | weights MB | activations MB |
|---|---|---|---|---|---|---|---|
"""
NETWORKS = [spec.name for spec in STUDIO_MODELS.values() if spec.kind is Kind.NETWORK]
KLEIN_NETWORKS = list(networks_of("flux2_klein"))

Build = Callable[[str, Path, tuple[Profile, ...]], Figures]


@pytest.fixture(scope="module")
def build(tensorrt: TensorRt) -> Build:
    """Builds an engine and reports its figures under a name; processor time, 10^6 bytes."""
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(HEADER, encoding="utf-8")

    def built(name: str, graph: Path, profiles: tuple[Profile, ...]) -> Figures:
        made = tensorrt.build(graph, profiles)
        sizes = " | ".join(f"{size / 1e6:,.1f}" for size in (made.engine, made.weights, made.activations))
        # At once: a run that is stopped has told what it measured.
        with REPORT.open("a", encoding="utf-8") as report:
            report.write(
                f"| {name} | {len(profiles)} | {made.layers:,} | {made.parse_s:.2f} | {made.build_s:.1f} | {sizes} |\n"
            )
        return made

    return built


@pytest.fixture(scope="module")
def full_size(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedCheckpoint:
    """Edit-2511 at its published size, for engines, without weights."""
    folder = tmp_path_factory.mktemp("full") / "Qwen-Image-Edit-2511"
    write_configurations(folder, checkpoint_dir)
    return planned(folder, checkpoint_dir / "faces", "tensorrt")


@pytest.mark.parametrize("network", NETWORKS)
def test_studio_mini(network: str, build: Build, model_repository_dir: Path) -> None:
    graph = model_repository_dir / network / "1" / NETWORK_FILE
    build(f"studio-mini, {network}, fp32", graph, studio_jobs()[network].profiles)


@pytest.mark.parametrize("graph", GRAPHS)
def test_bf16_and_other_checkpoints(graph: str, build: Build) -> None:
    name, precision = GRAPHS[graph]
    build(f"{name}, {precision}", graph_file(name, precision), job_of(name).profiles)


@pytest.mark.parametrize("network", KLEIN_NETWORKS)
def test_klein_mini(network: str, build: Build, klein_repository_dir: Path) -> None:
    graph = klein_repository_dir / network / "1" / NETWORK_FILE
    build(f"klein-mini, {network}, fp32", graph, klein_jobs()[network].profiles)


def test_a_denoiser_of_the_published_width(build: Build, full_size: PreparedCheckpoint, tmp_path: Path) -> None:
    transformer = QwenImageTransformer2DModel(num_layers=2, zero_cond_t=True)
    graph = written(DenoiserNetwork(transformer), tmp_path)
    profiles = next(job.profiles for job in network_jobs(full_size) if job.spec is DENOISER)
    largest = max(profiles, key=token_pairs)
    figures = build("published width, denoiser of 2 layers, bf16, largest bucket", graph, (largest,))
    scores = 2 * transformer.config.num_attention_heads * token_pairs(largest)
    assert figures.activations < scores, "attention holds all its scores at once"
    build("published width, denoiser of 2 layers, bf16", graph, profiles)


def test_a_text_encoder_of_the_published_width(build: Build, full_size: PreparedCheckpoint, tmp_path: Path) -> None:
    # A short vocabulary: its length is no width.
    text = TEXT | {"num_hidden_layers": 2, "vocab_size": 8192, "pad_token_id": 0}
    vision = VISION | {"depth": 2, "fullatt_block_indexes": [1]}
    ids = {f"{name}_token_id": 8000 + k for k, name in enumerate(("image", "video", "vision_start", "vision_end"))}
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids))
    graph = written(TextEncoderNetwork(model, full_size.config.vision, shapes_for((8, 8))), tmp_path)
    profiles = next(job.profiles for job in network_jobs(full_size) if job.spec is TEXT_ENCODER)
    build("published width, text encoder of 2 + 2 layers, bf16", graph, profiles)


def test_a_klein_denoiser_of_the_published_width(build: Build, checkpoint_dir: Path, tmp_path: Path) -> None:
    folder = klein_full_size.write_configurations(tmp_path / "FLUX.2-klein-4B")
    prepared = planned(folder, checkpoint_dir / "faces", "tensorrt")
    profiles = next(job.profiles for job in network_jobs(prepared) if job.spec.name == DENOISER.name)
    transformer = Flux2Transformer2DModel(**klein_full_size.TRANSFORMER | {"num_layers": 1, "num_single_layers": 2})
    graph = written(KleinDenoiserNetwork(transformer), tmp_path)
    largest = max(profiles, key=token_pairs)
    figures = build("published width of klein 4B, denoiser of 1 + 2 layers, bf16, largest bucket", graph, (largest,))
    scores = 2 * transformer.config.num_attention_heads * token_pairs(largest)
    assert figures.activations < scores, "attention holds all its scores at once"
    build("published width of klein 4B, denoiser of 1 + 2 layers, bf16", graph, profiles)


def token_pairs(profile: Profile) -> int:
    """Return the number of pairs of tokens in the attention of a denoiser's largest batch."""
    batch, image_tokens = profile.largest["img_rope"][:2]
    return batch * (image_tokens + profile.largest["txt_rope"][1]) ** 2


def written(network: TorchNetwork, folder: Path) -> Path:
    """Write a network in BF16, which the published ones are served in."""
    network.write_onnx(folder / NETWORK_FILE, Precision.BF16)
    return folder / NETWORK_FILE
