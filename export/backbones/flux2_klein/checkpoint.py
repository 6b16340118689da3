"""Load a FLUX.2 klein checkpoint, miniature or full size, as diffusers' own pipeline.

A checkpoint may say in ``eacps.json`` what the pipeline keeps in default arguments; one without that file gets the
pipeline's own.
"""

from __future__ import annotations

import json
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM

from eacps.models.checkpoint_config import UnsupportedCheckpoint
from export.checkpoint import MODEL_INDEX, Part, load_part
from export.checkpoint import CheckpointSettings as Settings

DISTILLED_STEPS = 4
STEPS = 50
MAX_PICTURES = 3
"""As many as the sampler's contract has; the checkpoints take more."""
PROBES = ("one", "two words")
PARTS = {
    "transformer": Part("diffusion_pytorch_model", "_class_name", "Flux2Transformer2DModel"),
    "vae": Part("diffusion_pytorch_model", "_class_name", "AutoencoderKLFlux2"),
    "text_encoder": Part("model", "model_type", "qwen3"),
}


@dataclass(frozen=True)
class CheckpointSettings(Settings):
    """What a checkpoint says of itself; see also `export.checkpoint.CheckpointSettings`.

    ``side`` is that of a square result in pixels, ``text_tokens`` the length to which texts are padded, and
    ``text_layers`` are the layers of the text encoder whose hidden states are the embeddings.
    """

    _: KW_ONLY
    side: int = 1024
    text_tokens: int = 512
    text_layers: tuple[int, ...] = (9, 18, 27)

    @classmethod
    def of_pipeline(cls, checkpoint: Path, name: str) -> CheckpointSettings:
        """Return the settings of a checkpoint that states none."""
        return cls(name=name, default_steps=DISTILLED_STEPS if is_distilled(checkpoint) else STEPS)

    def __post_init__(self) -> None:
        """Make a tuple of what JSON has as a list."""
        object.__setattr__(self, "text_layers", tuple(self.text_layers))

    def _is_usable(self, key: str, value: object) -> bool:
        numbers = self.text_layers if key == "text_layers" else (value,)
        return bool(numbers) and all(super(CheckpointSettings, self)._is_usable(key, one) for one in numbers)


def is_distilled(checkpoint: Path) -> bool:
    """Return whether guidance was distilled into the checkpoint, by its ``model_index.json``."""
    return bool(json.loads((checkpoint / MODEL_INDEX).read_text(encoding="utf-8")).get("is_distilled", False))


def load_pipeline(checkpoint: Path) -> Flux2KleinPipeline:
    """Load every part of ``checkpoint`` from disk, in FP32.

    Raises:
        UnusableWeights: The files of a part are not those that it describes.
    """
    return _joined(
        checkpoint,
        transformer=load_transformer(checkpoint),
        vae=load_vae(checkpoint),
        text_encoder=load_text_encoder(checkpoint),
    )


def load_skeleton(checkpoint: Path) -> Flux2KleinPipeline:
    """Put the parts together without weights, whose tensors are on torch's ``meta`` device: shapes, no memory."""
    with torch.device("meta"):
        parts = {name: read(checkpoint) for name, read in READERS.items() if name in PARTS}
    return _joined(checkpoint, **parts)


def load_transformer(checkpoint: Path) -> Flux2Transformer2DModel:
    """Load the denoiser; raises `UnusableWeights`, as the others do."""
    return load_part(
        Flux2Transformer2DModel, checkpoint, "transformer", PARTS["transformer"], torch_dtype=torch.float32
    )


def load_vae(checkpoint: Path) -> AutoencoderKLFlux2:
    """Load the autoencoder."""
    return load_part(AutoencoderKLFlux2, checkpoint, "vae", PARTS["vae"], torch_dtype=torch.float32)


def load_text_encoder(checkpoint: Path) -> Qwen3ForCausalLM:
    """Load the text encoder with its language head."""
    return load_part(Qwen3ForCausalLM, checkpoint, "text_encoder", PARTS["text_encoder"], dtype=torch.float32)


def chat_template(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return the chat that the pipeline makes of a prompt, with ``{}`` in its place.

    Raises:
        UnsupportedCheckpoint: The tokenizer's template does more than put text around a prompt.
    """
    mark = "{}"
    template = _chat(tokenizer, mark)
    if template.count(mark) != 1 or any(_chat(tokenizer, text) != template.replace(mark, text) for text in PROBES):
        raise UnsupportedCheckpoint("the tokenizer's chat template does more than put text around a prompt")
    return template


def _chat(tokenizer: PreTrainedTokenizerFast, prompt: str) -> str:
    messages = [{"role": "user", "content": prompt}]
    return str(
        tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    )


def _joined(checkpoint: Path, **parts: Any) -> Flux2KleinPipeline:
    for part in parts.values():
        part.eval()
    pipeline = Flux2KleinPipeline(
        scheduler=READERS["scheduler"](checkpoint),
        tokenizer=READERS["tokenizer"](checkpoint),
        is_distilled=is_distilled(checkpoint),
        **parts,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


READERS: dict[str, Any] = {
    "transformer": lambda folder: Flux2Transformer2DModel.from_config(
        Flux2Transformer2DModel.load_config(folder, subfolder="transformer")
    ),
    "vae": lambda folder: AutoencoderKLFlux2.from_config(AutoencoderKLFlux2.load_config(folder, subfolder="vae")),
    "text_encoder": lambda folder: Qwen3ForCausalLM(Qwen3Config.from_pretrained(folder / "text_encoder")),
    "tokenizer": lambda folder: Qwen2Tokenizer.from_pretrained(folder / "tokenizer"),
    "scheduler": lambda folder: FlowMatchEulerDiscreteScheduler.from_pretrained(folder, subfolder="scheduler"),
}
"""Read each part without weights."""
