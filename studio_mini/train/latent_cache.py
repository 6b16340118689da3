"""What the denoiser learns from, computed once: latents of the pictures and embeddings of the prompts.

Both come from frozen stages, so each rendered shard of tasks becomes one shard of latents and one of embeddings. Every
second shard shows the prior that the finished face pack makes of its scene and character, as at run time; the others
show the drawn one. Names carry a digest of the frozen weights: after retraining, nothing stale is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLQwenImage
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from eacps.models.backbones.qwen_image_edit.prompt import edit_prompt as edit_text
from export.backbones.qwen_image_edit.processor import EditProcessor
from export.face_pack import PACK_FILES
from studio_mini.architecture import LATENT_DEPTH, LATENT_TOKENS, PACKED_CHANNELS, TOKEN_GRID
from studio_mini.faces.pack import load_pack
from studio_mini.tokenizer import edit_template
from studio_mini.train.flat_vae import FlatVae
from studio_mini.train.pace import load_state, save_state
from studio_mini.train.packed_vlm import Packer, Patcher, hidden_states, picture_tokens, use_float32_attention
from studio_mini.train.swapped import with_swapped_priors
from studio_mini.train.task_cache import SHARD, TaskSet, cached_shard
from studio_mini.train.training_data import SUFFIX
from studio_mini.world.prompts import phrase

PARAPHRASES = 2
DROPPED_PROMPT = " "
WIDTHS = [24] * PARAPHRASES + [6]
"""Tokens kept for each paraphrase and for the dropped prompt, closing tokens included."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Training examples in float16; the first axis counts tasks.

    Attributes:
        truth, prior, character: Normalized packed latents (tasks, 64, 64).
        text_one, text_two: Prompt embeddings (tasks, 3, tokens, channels) with one picture (prior) or two (prior,
            character) shown; the first two texts are paraphrases, the third the dropped prompt.
        length_one, length_two: Real tokens of each text, (tasks, 3).
    """

    truth: Tensor
    prior: Tensor
    character: Tensor
    text_one: Tensor
    text_two: Tensor
    length_one: Tensor
    length_two: Tensor

    def __len__(self) -> int:
        return len(self.truth)


class Encoders:
    """The frozen stages of a checkpoint."""

    def __init__(self, checkpoint: Path) -> None:
        self.pack = load_pack(checkpoint / "faces")
        vae = AutoencoderKLQwenImage.from_pretrained(checkpoint, subfolder="vae")
        self._mean = torch.tensor(vae.config.latents_mean).view(1, LATENT_DEPTH, 1, 1)
        self._std = torch.tensor(vae.config.latents_std).view(1, LATENT_DEPTH, 1, 1)
        self._flat = FlatVae(vae).eval().requires_grad_(False)
        self._processor = EditProcessor.from_pretrained(checkpoint / "processor")
        self._patcher = Patcher(self._processor)
        self._text = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, subfolder="text_encoder").eval()
        use_float32_attention(self._text)
        template = edit_template()
        self._dropped = len(self._processor.tokenizer(template.split("{}")[0])["input_ids"])
        self._packers = [
            Packer(self._text, self._processor, edit_text(template, "", n).removesuffix(SUFFIX)) for n in (1, 2)
        ]

    @torch.no_grad()
    def latents(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Encode uint8 (count, 128, 128, 3) as the pipeline does: mode, normalized, packed (count, 64, 64)."""
        scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        mean, _ = self._flat.encode(scaled.contiguous(memory_format=torch.channels_last))
        return pack((mean - self._mean) / self._std)

    @torch.no_grad()
    def pictures(self, latents: Tensor) -> NDArray[np.uint8]:
        """Decode packed latents (count, 64, 64) to uint8 (count, 128, 128, 3)."""
        decoded = self._flat.decode(unpack(latents) * self._std + self._mean).clamp(-1, 1)
        return ((decoded + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()

    @torch.no_grad()
    def texts(self, shown: list[NDArray[np.uint8]], prompts: list[list[str]]) -> tuple[Tensor, Tensor]:
        """Embed ``prompts[slot][item]`` for pictures ``shown[picture][item]``, template tokens dropped.

        Returns:
            Embeddings (items, slots, tokens, channels), right-padded, and lengths (items, slots).
        """
        merged = torch.cat([picture_tokens(self._text, self._patcher(torch.from_numpy(p))) for p in shown], dim=1)
        texts = self._packers[len(shown) - 1]([[p + SUFFIX for p in slot] for slot in prompts], WIDTHS)
        hidden = hidden_states(self._text, texts, merged)
        prefix = texts.starts[0]
        out = torch.zeros(len(merged), len(prompts), prefix - self._dropped + max(WIDTHS), hidden.shape[-1])
        for slot, (start, width) in enumerate(zip(texts.starts, WIDTHS, strict=True)):
            out[:, slot, : prefix - self._dropped] = hidden[:, self._dropped : prefix]
            out[:, slot, prefix - self._dropped : prefix - self._dropped + width] = hidden[:, start : start + width]
        lengths = texts.last + 1 - torch.tensor(texts.starts) + prefix - self._dropped
        return out, lengths


def encoded(encoders: Encoders, tasks: TaskSet, rng: np.random.Generator) -> Examples:
    """Encode tasks that are not kept; ``rng`` chooses the words of their prompts."""
    return Examples(**_encode_latents(encoders, tasks, rng), **_encode_texts(encoders, tasks, rng))


def pack(latents: Tensor) -> Tensor:
    """(batch, 16, 16, 16) to tokens of 2x2 latents (batch, 64, 64), as the pipeline packs them."""
    x = latents.view(-1, LATENT_DEPTH, TOKEN_GRID, 2, TOKEN_GRID, 2).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(-1, LATENT_TOKENS, PACKED_CHANNELS)


def unpack(tokens: Tensor) -> Tensor:
    """Inverse of ``pack``."""
    x = tokens.view(-1, TOKEN_GRID, TOKEN_GRID, LATENT_DEPTH, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(-1, LATENT_DEPTH, 2 * TOKEN_GRID, 2 * TOKEN_GRID)


_Encode = Callable[[Encoders, TaskSet, np.random.Generator], dict[str, Tensor]]


class LatentStore:
    """The encoded shards of one checkpoint's frozen stages; grows while the denoiser is already learning."""

    def __init__(self, build_dir: Path, checkpoint: Path, *, seed: int) -> None:
        self._build_dir, self._checkpoint, self._seed = build_dir, checkpoint, seed
        self._folders: dict[_Encode, Path] = {
            _encode_latents: build_dir / "latents" / _vae_digest(checkpoint),
            _encode_texts: build_dir
            / "texts"
            / _digest((checkpoint / "text_encoder" / "model.safetensors").read_bytes()),
        }
        self._pack_digest = _digest(*((checkpoint / "faces" / name).read_bytes() for name in PACK_FILES))
        self._encoders: Encoders | None = None

    def grow(self, tasks: int) -> None:
        """Encode the first ``tasks`` rendered tasks as far as they are not on disk yet."""
        for number in range(-(-tasks // SHARD)):
            missing = [kind for kind in self._folders if not self._path(kind, number).exists()]
            if not missing:
                continue
            self._encoders = self._encoders or Encoders(self._checkpoint)
            shard = cached_shard(self._build_dir, number)
            if _shows_swaps(number):
                shard = with_swapped_priors(shard, self._encoders.pack)
            for kind in missing:
                rng = np.random.default_rng([self._seed, number])
                save_state(self._path(kind, number), kind(self._encoders, shard, rng))

    def load(self) -> Examples:
        """Read every shard that has both latents and embeddings.

        Raises:
            FileNotFoundError: There is none.
        """
        numbers = range(sum(1 for _ in self._build_dir.glob("tasks/train/shard_*.npz")))
        paths = [[self._path(kind, number) for kind in self._folders] for number in numbers]
        whole = [pair for pair in paths if all(path.exists() for path in pair)]
        if not whole:
            raise FileNotFoundError(f"no encoded tasks under {self._build_dir}")
        shards = [{k: v for path in pair for k, v in (load_state(path) or {}).items()} for pair in whole]
        return Examples(**{f.name: torch.cat([shard[f.name] for shard in shards]) for f in fields(Examples)})

    def _path(self, kind: _Encode, number: int) -> Path:
        suffix = f"_{self._pack_digest}" if _shows_swaps(number) else ""
        return self._folders[kind] / f"shard_{number:04d}{suffix}.pt"


def _shows_swaps(number: int) -> bool:
    return number % 2 == 1


def _encode_latents(encoders: Encoders, tasks: TaskSet, _: np.random.Generator) -> dict[str, Tensor]:
    return {
        name: torch.cat([encoders.latents(getattr(tasks, name)[k : k + 25]) for k in range(0, len(tasks), 25)]).half()
        for name in ("truth", "prior", "character")
    }


def _encode_texts(encoders: Encoders, tasks: TaskSet, rng: np.random.Generator) -> dict[str, Tensor]:
    prompts = [[phrase(edit, rng) for edit in tasks.edits] for _ in range(PARAPHRASES)]
    prompts.append([DROPPED_PROMPT] * len(tasks))
    columns: dict[str, list[Tensor]] = {"text_one": [], "length_one": [], "text_two": [], "length_two": []}
    for start in range(0, len(tasks), 25):
        items = slice(start, start + 25)
        for kind, shown in (("one", [tasks.prior[items]]), ("two", [tasks.prior[items], tasks.character[items]])):
            text, length = encoders.texts(shown, [slot[items] for slot in prompts])
            columns[f"text_{kind}"].append(text.half())
            columns[f"length_{kind}"].append(length)
    return {name: torch.cat(column) for name, column in columns.items()}


def _vae_digest(checkpoint: Path) -> str:
    """Digest of all that latents depend on; the decoder is not among it and may go on learning."""
    config = json.loads((checkpoint / "vae" / "config.json").read_text(encoding="utf-8"))
    weights = load_file(checkpoint / "vae" / "diffusion_pytorch_model.safetensors")
    encoder = sorted(name for name in weights if name.startswith(("encoder.", "quant_conv.")))
    statistics = json.dumps([config["latents_mean"], config["latents_std"]]).encode()
    return _digest(statistics, *(weights[name].numpy().tobytes() for name in encoder))


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]
