"""Token ids, positions and picture slots of a text with pictures: one item for the text encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from eacps.models.backbones.qwen_image_edit.positions import mrope_positions
from eacps.models.backbones.qwen_image_edit.preprocessing import Patches
from eacps.models.backbones.qwen_image_edit.prompt import IMAGE_PAD


@dataclass(frozen=True)
class TextItem:
    """One text for the text encoder, without batch axis.

    Args:
        pixel_values: FP32 [pictures, patches, patch values].
        vision_rope: FP32 [patches, pairs, 2], of any of the pictures.
        vision_window: INT64 [patches], likewise.
        input_ids: INT64 [tokens].
        position_ids: INT64 [3, tokens].
        image_index: INT64 [tokens]: 0 for text, k for the k-th picture token, counted through all pictures.
    """

    pixel_values: torch.Tensor
    vision_rope: torch.Tensor
    vision_window: torch.Tensor
    input_ids: torch.Tensor
    position_ids: torch.Tensor
    image_index: torch.Tensor

    @property
    def length(self) -> int:
        """Tokens."""
        return len(self.input_ids)


class TextReader:
    """The checkpoint's tokenizer, told how many tokens each picture takes.

    Args:
        tokenizer: Path of the checkpoint's ``tokenizer.json``.
    """

    def __init__(self, tokenizer: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        # Padding and truncation that the file may carry are for training; here lengths are handled in the open.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        image_pad_id = self._tokenizer.token_to_id(IMAGE_PAD)
        if image_pad_id is None:
            raise ValueError(f"the tokenizer does not know {IMAGE_PAD}")
        self.image_pad_id: int = image_pad_id

    def count(self, text: str) -> int:
        """Count the tokens of ``text``."""
        return len(self._tokenizer.encode(text).ids)

    def read(self, text: str, pictures: Sequence[Patches]) -> TextItem:
        """Tokenize ``text``, which mentions each of ``pictures`` by one picture mark, all of one size.

        Raises:
            ValueError: Another number of picture marks than pictures, or pictures of different sizes.
        """
        if text.count(IMAGE_PAD) != len(pictures):
            raise ValueError(f"text mentions {text.count(IMAGE_PAD)} pictures, {len(pictures)} were given")
        ids = self._tokenizer.encode(_widened(text, pictures)).ids
        input_ids = torch.tensor(ids, dtype=torch.int64)
        shown = input_ids == self.image_pad_id
        return TextItem(
            pixel_values=torch.stack([picture.values for picture in pictures]),
            vision_rope=pictures[0].rope,
            vision_window=pictures[0].windows,
            input_ids=input_ids,
            position_ids=mrope_positions(ids, self.image_pad_id, [picture.merged_grid for picture in pictures]),
            image_index=torch.where(shown, torch.cumsum(shown.to(torch.int64), dim=0), 0),
        )


def collate(items: Sequence[TextItem]) -> dict[str, torch.Tensor]:
    """Stack items to inputs of the text encoder, padded on the right to the longest.

    Attention is causal, so what stands to the right of an item's last token never reaches it.

    Returns:
        The inputs of ``contract.TEXT_ENCODER`` and ``contract.JUDGE`` by name, with the batch axis first.
    """
    longest = max(item.length for item in items)

    def padded(rows: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([torch.nn.functional.pad(row, (0, longest - row.shape[-1])) for row in rows])

    return {
        "pixel_values": torch.stack([item.pixel_values for item in items]),
        "vision_rope": torch.stack([item.vision_rope for item in items]),
        "vision_window": torch.stack([item.vision_window for item in items]),
        "input_ids": padded([item.input_ids for item in items]),
        "attention_mask": padded([torch.ones(item.length, dtype=torch.int64) for item in items]),
        "position_ids": padded([item.position_ids for item in items]),
        "image_index": padded([item.image_index for item in items]),
    }


def _widened(text: str, pictures: Sequence[Patches]) -> str:
    """Repeat the k-th picture mark once for each token of the k-th picture."""
    first, *rest = text.split(IMAGE_PAD)
    counts = [rows * columns for rows, columns in (picture.merged_grid for picture in pictures)]
    return first + "".join(IMAGE_PAD * count + piece for count, piece in zip(counts, rest, strict=True))
