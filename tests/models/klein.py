"""A miniature of FLUX.2 klein: its own classes in its own configuration, small, with random weights.

Its faces are studio-mini's. Pictures of it show no faces, so that nobody is recognized in them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinInpaintPipeline,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from numpy.typing import NDArray
from PIL import Image
from transformers import Qwen3Config, Qwen3ForCausalLM

from eacps.manifest import digest_of
from eacps.models.backbones.flux2_klein.backbone import Backbone
from eacps.models.backbones.flux2_klein.config import Config
from eacps.models.backbones.flux2_klein.contract import DENOISER, TEXT_ENCODER
from eacps.models.checkpoint_config import TOKENIZER_FILE, ServedShapes
from eacps.models.conditioning import ContentCache
from eacps.models.editing import Editor
from eacps.models.networks import Network
from eacps.tensors import VAE_DECODER, VAE_ENCODER, ModelSpec
from export.backbones.flux2_klein.checkpoint import CheckpointSettings, load_pipeline
from export.backbones.flux2_klein.denoiser_graph import DenoiserGraph
from export.backbones.flux2_klein.exporter import EXPORTER
from export.backbones.flux2_klein.text_encoder import TextEncoderGraph
from export.backbones.flux2_klein.vae import VaeDecoderGraph, VaeEncoderGraph
from studio_mini.tokenizer import train_tokenizer
from tests.models.studio import amplify

NAME = "FLUX.2-klein-mini"
SIDE = 64
STEPS = 4
SETTINGS = CheckpointSettings(
    "klein-mini",
    default_steps=STEPS,
    face_pack="faces",
    face_detection_size=128,
    side=SIDE,
    text_tokens=48,
    text_layers=(1, 2, 4),
)
SHAPES = ServedShapes(sizes=((SIDE, SIDE),), texts=((3, 48),), max_batch=4, fixed=False)
# As Qwen3's template puts a turn of the user, without thinking; its other branches are for roles that are not used.
CHAT = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{%- endif %}"
)
# Freshly drawn networks hardly heed their conditioning: with larger weights every input shows in the picture.
GAIN = 3.0


ROOT = Path(__file__).resolve().parents[2]
FACES = ROOT / "studio_mini" / "checkpoint" / "faces"


@cache
def checkpoint() -> Path:
    """Return the miniature's folder, which all test runs share: named by its contents, whole, and never changed."""
    build = ROOT / ".build"
    build.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=build) as made:
        written = write_checkpoint(Path(made) / "whole" / NAME)
        shared = build / "klein" / digest_of([written])[:16]
        shared.parent.mkdir(exist_ok=True)
        with suppress(OSError):  # it is there already
            written.parent.rename(shared)
    return shared / NAME


def write_checkpoint(folder: Path, seed: int = 0, *, distilled: bool = True) -> Path:
    """Write a miniature in the layout of the published folder, its settings, and a face detector and recognizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer()
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder / "tokenizer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts: dict[str, Any] = {
            "transformer": _transformer(),
            "vae": _vae(),
            "text_encoder": _text_encoder(len(tokenizer)),
            "scheduler": scheduler(),
        }
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    index = {
        "_class_name": "Flux2KleinPipeline",
        "_diffusers_version": "0.37.0.dev0",
        "is_distilled": distilled,
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "Qwen3ForCausalLM"],
        "tokenizer": ["transformers", "Qwen2TokenizerFast"],
        "transformer": ["diffusers", "Flux2Transformer2DModel"],
        "vae": ["diffusers", "AutoencoderKLFlux2"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
    (folder / "faces").mkdir(exist_ok=True)
    for name in ("detector.onnx", "recognizer.onnx"):
        shutil.copyfile(FACES / name, folder / "faces" / name)
    SETTINGS.write(folder)
    return folder


def scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Build the scheduler of the published checkpoints."""
    return FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15, shift=3.0, time_shift_type="exponential"
    )


def _transformer() -> Flux2Transformer2DModel:
    made = Flux2Transformer2DModel(
        in_channels=32,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=32,
        num_attention_heads=2,
        joint_attention_dim=3 * 32,
        axes_dims_rope=(8, 8, 8, 8),
        guidance_embeds=False,
    )
    amplify(made, GAIN)
    return made.eval()


def _vae() -> AutoencoderKLFlux2:
    made = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 16, 16), layers_per_block=1, latent_channels=8, norm_num_groups=4, sample_size=SIDE
    ).eval()
    # A batch norm that was trained has statistics.
    made.bn.running_mean.uniform_(-0.3, 0.3)
    made.bn.running_var.uniform_(0.5, 1.5)
    return made


def _text_encoder(vocabulary: int) -> Qwen3ForCausalLM:
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        tie_word_embeddings=True,
    )
    made = Qwen3ForCausalLM(config).eval()
    amplify(made, 8.0)
    return made


@dataclass
class Klein:
    """A checkpoint in this process; ``calls`` counts the rows of each network's calls."""

    pipeline: Flux2KleinPipeline
    config: Config
    assets: Path
    calls: dict[str, list[int]]

    @classmethod
    def of(cls, checkpoint: Path, assets: Path, shapes: ServedShapes = SHAPES) -> Klein:
        pipeline = load_pipeline(checkpoint)
        assets.mkdir()
        pipeline.tokenizer.backend_tokenizer.save(str(assets / TOKENIZER_FILE))
        return cls(pipeline, EXPORTER.config(pipeline, SETTINGS, "random", shapes), assets, {})

    def networks(self) -> dict[str, Network]:
        """The modules by the names of their models."""
        pipeline = self.pipeline
        return {
            DENOISER.name: self._graph(DENOISER, DenoiserGraph(pipeline.transformer)),
            TEXT_ENCODER.name: self._graph(TEXT_ENCODER, TextEncoderGraph(pipeline.text_encoder, SETTINGS.text_layers)),
            VAE_ENCODER.name: self._graph(VAE_ENCODER, VaeEncoderGraph(pipeline.vae)),
            VAE_DECODER.name: self._graph(VAE_DECODER, VaeDecoderGraph(pipeline.vae)),
        }

    def backbone(self, **replaced: Network) -> Backbone:
        """The backbone with an empty cache; networks may be replaced by name."""
        return Backbone(self.config, self.networks() | replaced, self.assets, ContentCache(100_000_000))

    def editor(self, **replaced: Network) -> Editor:
        return Editor(self.backbone(**replaced))

    def reference(self, pictures: list[NDArray[np.uint8]], prompt: str, seed: int, **call: Any) -> NDArray[np.uint8]:
        """The pipeline's own picture."""
        height, width = pictures[0].shape[:2]
        return _answered(
            self.pipeline(
                image=[Image.fromarray(one) for one in pictures],
                prompt=prompt,
                height=height,
                width=width,
                **self._same_for_all(seed),
                **({"guidance_scale": 1.0} | call),
            )
        )

    def inpainted(
        self,
        scene: NDArray[np.uint8],
        mask: NDArray[np.uint8],
        prompt: str,
        seed: int,
        reference: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """The inpainting pipeline's own picture; it sees the scene, then the reference."""
        pipeline = Flux2KleinInpaintPipeline(**self.pipeline.components, is_distilled=True)
        pipeline.set_progress_bar_config(disable=True)
        height, width = mask.shape
        return _answered(
            pipeline(
                prompt=prompt,
                image=Image.fromarray(scene),
                image_reference=None if reference is None else Image.fromarray(reference),
                mask_image=Image.fromarray(mask),
                height=height,
                width=width,
                strength=1.0,
                guidance_scale=1.0,
                **self._same_for_all(seed),
            )
        )

    def _same_for_all(self, seed: int) -> dict[str, Any]:
        return {
            "num_inference_steps": STEPS,
            "generator": torch.Generator("cpu").manual_seed(seed),
            "max_sequence_length": SETTINGS.text_tokens,
            "text_encoder_out_layers": SETTINGS.text_layers,
            "output_type": "np",
        }

    def _graph(self, spec: ModelSpec, module: torch.nn.Module) -> Network:
        async def call(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
            self.calls.setdefault(spec.name, []).append(len(inputs[spec.inputs[0].name]))
            with torch.no_grad():
                return module(*(inputs[tensor.name] for tensor in spec.inputs))

        return call


def _answered(answer: Any) -> NDArray[np.uint8]:
    return (answer.images[0] * 255).round().astype(np.uint8)
