"""Qwen2.5-VL's 3-D positions (mRoPE) of a text with pictures in it.

A text token stands at the same number on all three axes. The tokens of a picture share one frame and spread over rows
and columns, all counted from the number the picture starts at; text goes on after the larger of the two. The
checkpoints were trained so; diffusers' pipelines leave the 3-D positions out (huggingface/diffusers#14194).
"""

from collections.abc import Sequence

import torch


def mrope_positions(ids: Sequence[int], image_pad_id: int, grids: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Return each token's frame, row and column.

    Args:
        ids: Token ids; every picture is an unbroken run of ``image_pad_id``.
        image_pad_id: The id that stands for a picture's token.
        grids: (rows, columns) of each picture in merged tokens, in order of appearance.

    Returns:
        INT64 [3, len(ids)].

    Raises:
        ValueError: Runs of ``image_pad_id`` do not match ``grids``.
    """
    pieces: list[torch.Tensor] = []
    at, number, waiting = 0, 0, list(grids)
    while at < len(ids):
        if ids[at] != image_pad_id:
            pieces.append(torch.full((3, 1), number))
            at, number = at + 1, number + 1
            continue
        if not waiting:
            raise ValueError("more picture tokens than pictures")
        rows, columns = waiting.pop(0)
        if list(ids[at : at + rows * columns]) != [image_pad_id] * (rows * columns):
            raise ValueError(f"a picture of {rows}x{columns} tokens has another number of tokens in the text")
        pieces.append(_picture(number, rows, columns))
        at, number = at + rows * columns, number + max(rows, columns)
    if waiting:
        raise ValueError("fewer picture tokens than pictures")
    return torch.cat(pieces, dim=1)


def _picture(start: int, rows: int, columns: int) -> torch.Tensor:
    row = torch.arange(rows).repeat_interleave(columns)
    column = torch.arange(columns).repeat(rows)
    return start + torch.stack([torch.zeros_like(row), row, column])
