"""Rotary tables of the diffusion transformer, as real (cos, sin) pairs: diffusers' QwenEmbedRope with scaled axes.

Frame counts the pictures (0 the latents, k the k-th conditioning picture); rows and columns are centered on 0; text
follows beyond the largest row or column of any picture, the same position on all three axes.
"""

from collections.abc import Sequence

import torch

Grid = tuple[int, int]


def image_rope(grids: Sequence[Grid], axes: Sequence[int], theta: int) -> torch.Tensor:
    """Tables of all picture tokens.

    Args:
        grids: (rows, columns) in tokens: the latents first, then each conditioning picture.
        axes: Channels that turn with frame, row and column; even.
        theta: Base of the frequencies.

    Returns:
        FP32 [tokens of all grids, sum(axes) / 2, 2].
    """
    return torch.cat([_grid_table(frame, grid, axes, theta) for frame, grid in enumerate(grids)])


def text_rope(length: int, grids: Sequence[Grid], axes: Sequence[int], theta: int) -> torch.Tensor:
    """Tables of ``length`` text tokens beside ``grids``: FP32 [length, sum(axes) / 2, 2]."""
    first = max(max(rows // 2, columns // 2) for rows, columns in grids)
    positions = torch.arange(first, first + length)
    return torch.cat([_turns(positions, channels, theta) for channels in axes], dim=1)


def _grid_table(frame: int, grid: Grid, axes: Sequence[int], theta: int) -> torch.Tensor:
    rows, columns = grid
    tables = (
        _turns(torch.tensor([frame]), axes[0], theta)[:, None],
        _turns(_centered(rows), axes[1], theta)[:, None],
        _turns(_centered(columns), axes[2], theta)[None],
    )
    spread = [table.expand(rows, columns, -1, 2) for table in tables]
    return torch.cat(spread, dim=2).reshape(rows * columns, -1, 2)


def _centered(length: int) -> torch.Tensor:
    return torch.arange(length) - (length - length // 2)


def _turns(positions: torch.Tensor, channels: int, theta: int) -> torch.Tensor:
    """[positions, channels / 2, 2]: cos and sin of position times frequency."""
    exponents = torch.arange(0, channels, 2).to(torch.float32).div(channels)
    angles = torch.outer(positions, 1.0 / torch.pow(theta, exponents))
    return torch.stack([torch.cos(angles), torch.sin(angles)], dim=-1)
