"""What Qwen-Image-Edit needs of a processor, without torchvision.

``Qwen2VLProcessor`` also builds a video processor, which needs torchvision. For pictures it does three things:
patch the pictures, widen each ``<|image_pad|>`` to one token per merged patch, tokenize. This does those three.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from transformers import BatchFeature, PreTrainedTokenizerFast, Qwen2Tokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

IMAGE_PAD = "<|image_pad|>"


class EditProcessor:
    """Pictures and text with ``<|image_pad|>`` in, model inputs out; a drop-in for the pipeline's processor."""

    def __init__(self, image_processor: Qwen2VLImageProcessorPil, tokenizer: PreTrainedTokenizerFast) -> None:
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.image_pad_id = self.token_id(IMAGE_PAD)

    @classmethod
    def from_pretrained(cls, folder: Path) -> EditProcessor:
        """Load from the ``processor/`` folder of a checkpoint (ours or Qwen's own)."""
        return cls(Qwen2VLImageProcessorPil.from_pretrained(folder), Qwen2Tokenizer.from_pretrained(folder))

    def save_pretrained(self, folder: Path) -> None:
        """Write what ``from_pretrained`` reads."""
        self.image_processor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def token_id(self, token: str) -> int:
        """Return the id of one token of the vocabulary."""
        identity = self.tokenizer.convert_tokens_to_ids(token)
        if not isinstance(identity, int):
            raise TypeError(f"{token!r} is not one token")
        return identity

    def __call__(
        self,
        text: Sequence[str],
        images: Sequence[Image.Image] | None = None,
        padding: bool = True,
        return_tensors: str = "pt",
    ) -> BatchFeature:
        """Encode texts and the pictures they mention, in order of mention.

        Returns:
            ``input_ids``, ``attention_mask``, ``mm_token_type_ids`` of shape (texts, tokens); with pictures also
            ``pixel_values`` (patches, values) and ``image_grid_thw`` (pictures, 3), in patches.

        Raises:
            ValueError: The texts mention another number of pictures than given.
        """
        features: dict[str, torch.Tensor] = {}
        merged_tokens: list[int] = []
        if images is not None and len(images) > 0:
            features = dict(self.image_processor(images=list(images), return_tensors=return_tensors))
            merged = self.image_processor.merge_size**2
            merged_tokens = [int(grid.prod()) // merged for grid in features["image_grid_thw"]]
        texts = _widen_image_pads(list(text), merged_tokens)
        tokens = self.tokenizer(texts, padding=padding, return_tensors=return_tensors)
        features["input_ids"], features["attention_mask"] = tokens["input_ids"], tokens["attention_mask"]
        features["mm_token_type_ids"] = (tokens["input_ids"] == self.image_pad_id).to(torch.int32)
        return BatchFeature(features)


def _widen_image_pads(texts: list[str], merged_tokens: list[int]) -> list[str]:
    """Repeat the k-th ``<|image_pad|>`` of the texts ``merged_tokens[k]`` times."""
    mentioned = sum(text.count(IMAGE_PAD) for text in texts)
    if mentioned != len(merged_tokens):
        raise ValueError(f"texts mention {mentioned} pictures, {len(merged_tokens)} were given")
    counts = iter(merged_tokens)
    widened = []
    for text in texts:
        first, *rest = text.split(IMAGE_PAD)
        widened.append(first + "".join(IMAGE_PAD * next(counts) + piece for piece in rest))
    return widened
