"""A miniature checkpoint of random weights in this process, and its modules as the networks of `eacps.models`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import QwenImageEditPlusPipeline
from numpy.typing import NDArray
from PIL import Image

from eacps.models.backbones.qwen_image_edit.backbone import Backbone
from eacps.models.backbones.qwen_image_edit.config import Config
from eacps.models.backbones.qwen_image_edit.contract import DENOISER, TEXT_ENCODER
from eacps.models.checkpoint_config import ServedShapes
from eacps.models.conditioning import ContentCache
from eacps.models.editing import Editor
from eacps.models.networks import Network
from eacps.tensors import VAE_DECODER, VAE_ENCODER, ModelSpec
from export.backbones.qwen_image_edit.assets import read_checkpoint_config, write_judge_head, write_program_assets
from export.backbones.qwen_image_edit.denoiser_graph import DenoiserGraph
from export.backbones.qwen_image_edit.vae import VaeDecoderGraph, VaeEncoderGraph
from studio_mini.architecture import SETTINGS, build_pipeline

SIDE = 128
SHAPES = ServedShapes(sizes=((SIDE, SIDE),), texts=((3, 1024),), max_batch=16, fixed=False)
# Freshly drawn networks hardly heed their conditioning: a picture would pass with its prompt ignored. With larger
# weights every input shows in the picture; `test_editing` holds that.
DENOISER_GAIN = 2.0
TEXT_ENCODER_GAIN = 8.0


@dataclass
class Studio:
    """Pipeline, config and assets of one checkpoint; ``calls`` counts the calls of each network."""

    pipeline: QwenImageEditPlusPipeline
    config: Config
    assets: Path
    calls: dict[str, list[int]]

    @classmethod
    def make(cls, folder: Path, seed: int = 3) -> Studio:
        """Build with weights drawn from ``seed`` and write the assets into ``folder``."""
        pipeline = build_pipeline(seed)
        amplify(pipeline.transformer, DENOISER_GAIN)
        amplify(pipeline.text_encoder, TEXT_ENCODER_GAIN)
        config = read_checkpoint_config(pipeline, SETTINGS, f"random-{seed}", SHAPES)
        assets = folder / "assets"
        write_program_assets(assets, pipeline, config)
        pipeline.text_encoder.save_pretrained(folder / "text_encoder")
        write_judge_head(assets, folder, pipeline.tokenizer)
        return cls(pipeline, config, assets, {})

    def networks(self) -> dict[str, Network]:
        """The modules by the names of their models."""
        return {
            DENOISER.name: self._graph(DENOISER, DenoiserGraph(self.pipeline.transformer)),
            TEXT_ENCODER.name: self.encode_text,
            VAE_ENCODER.name: self._graph(VAE_ENCODER, VaeEncoderGraph(self.pipeline.vae)),
            VAE_DECODER.name: self._graph(VAE_DECODER, VaeDecoderGraph(self.pipeline.vae)),
        }

    def backbone(self, **replaced: Network) -> Backbone:
        """The backbone with an empty cache; networks may be replaced by name."""
        return Backbone(self.config, self.networks() | replaced, self.assets, ContentCache(100_000_000))

    def editor(self, **replaced: Network) -> Editor:
        """An editor with an empty cache; networks may be replaced by name."""
        return Editor(self.backbone(**replaced))

    async def encode_text(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Transformers' own model, told the positions; padding and picture slots as the contract has them."""
        self.calls.setdefault("text_encoder", []).append(len(inputs["input_ids"]))
        pixels = inputs["pixel_values"].flatten(0, 1)
        side = SIDE // self.config.vision.patch_size
        grids = torch.tensor([[1, side, side]] * len(pixels))
        with torch.no_grad():
            outputs = self.pipeline.text_encoder.model(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                position_ids=inputs["position_ids"].permute(1, 0, 2),
                pixel_values=pixels.flatten(0, 1),
                image_grid_thw=grids,
            )
        return outputs.last_hidden_state

    def _graph(self, spec: ModelSpec, module: torch.nn.Module) -> Network:
        async def call(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
            self.calls.setdefault(spec.name, []).append(len(inputs[spec.inputs[0].name]))
            with torch.no_grad():
                return module(*(inputs[tensor.name] for tensor in spec.inputs))

        return call


@torch.no_grad()
def amplify(module: torch.nn.Module, gain: float) -> None:
    for weight in module.parameters():
        if weight.ndim == 2:
            weight.mul_(gain)


def picture(seed: int, height: int = SIDE, width: int = SIDE) -> NDArray[np.uint8]:
    """A smooth, colorful picture: RGB uint8 [height, width, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
