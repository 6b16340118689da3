"""What Qwen2.5-VL's vision tower must know of a picture's size, as tensors: rotary tables and attention windows.

The original derives both in Python loops over a tensor of sizes, which no graph can hold. As inputs they let one graph
serve pictures of every size. The original also sorts the patches by window, to attend within slices; with the windows
as a mask the order does not matter, and patches stay in the order in which the processor cuts them: the patches of
each merged token together, tokens row by row.
"""

from functools import lru_cache

import torch

from eacps.models.backbones.qwen_image_edit.config import VisionConfig


@lru_cache(maxsize=16)
def vision_rope(rows: int, columns: int, vision: VisionConfig) -> torch.Tensor:
    """(cos, sin) of each patch's row and column: FP32 [rows * columns, head width / 2, 2].

    Half of the pairs turn with the row, half with the column. Do not write into the result: it is shared.
    """
    channels = vision.head_width // 2
    frequencies = 1.0 / vision.rope_theta ** (torch.arange(0, channels, 2, dtype=torch.float32) / channels)
    row, column = _patch_positions(rows, columns, vision.merge_size)
    angles = torch.cat([row[:, None] * frequencies, column[:, None] * frequencies], dim=1)
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


@lru_cache(maxsize=16)
def vision_windows(rows: int, columns: int, vision: VisionConfig) -> torch.Tensor:
    """The window each patch lies in: INT64 [rows * columns]; patches of one number may attend to one another.

    Do not write into the result: it is shared.
    """
    side = vision.window_size // vision.patch_size  # in patches, a multiple of the merge size
    row, column = _patch_positions(rows, columns, vision.merge_size)
    return row // side * -(-columns // side) + column // side


def _patch_positions(rows: int, columns: int, merge: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column of the patches, in their order."""

    def in_order(numbers: torch.Tensor) -> torch.Tensor:
        blocks = numbers.expand(rows, columns).reshape(rows // merge, merge, columns // merge, merge)
        return blocks.transpose(1, 2).flatten()

    return in_order(torch.arange(rows)[:, None]), in_order(torch.arange(columns)[None])
