"""Rotary tables of the diffusion transformer, as real (cos, sin) pairs: diffusers' Flux2PosEmbed.

A token has four coordinates: picture, row, column and place in the text. The result is picture 0; conditioning pictures
follow at a distance. Text stands at the origin of the first three.
"""

from collections.abc import Sequence

import torch

Grid = tuple[int, int]
PICTURE_DISTANCE = 10


def image_rope(result: Grid, pictures: Sequence[Grid], axes: Sequence[int], theta: int) -> torch.Tensor:
    """Tables of the tokens of the result, then of every conditioning picture.

    Args:
        result: (rows, columns) in tokens.
        pictures: Likewise, of each picture.
        axes: Channels that turn with each coordinate; even.
        theta: Base of the frequencies.

    Returns:
        FP32 [tokens, sum(axes) / 2, 2].
    """
    grids = [(0, result), *((PICTURE_DISTANCE * (number + 1), grid) for number, grid in enumerate(pictures))]
    return torch.cat([_table(_coordinates(picture, *grid), axes, theta) for picture, grid in grids])


def text_rope(length: int, axes: Sequence[int], theta: int) -> torch.Tensor:
    """Tables of ``length`` text tokens: FP32 [length, sum(axes) / 2, 2]."""
    places = torch.zeros(length, 4)
    places[:, 3] = torch.arange(length)
    return _table(places, axes, theta)


def _coordinates(picture: int, rows: int, columns: int) -> torch.Tensor:
    """[rows * columns, 4], row by row."""
    numbers = torch.tensor([picture]), torch.arange(rows), torch.arange(columns), torch.arange(1)
    return torch.cartesian_prod(*numbers).float()


def _table(coordinates: torch.Tensor, axes: Sequence[int], theta: int) -> torch.Tensor:
    tables = [_turns(coordinates[:, axis], channels, theta) for axis, channels in enumerate(axes)]
    return torch.cat(tables, dim=1)


def _turns(positions: torch.Tensor, channels: int, theta: int) -> torch.Tensor:
    """[positions, channels / 2, 2]: cos and sin of position times frequency, computed in FP64 as the original does."""
    exponents = torch.arange(0, channels, 2, dtype=torch.float64) / channels
    angles = torch.outer(positions.double(), 1.0 / torch.pow(theta, exponents))
    return torch.stack([torch.cos(angles), torch.sin(angles)], dim=-1).float()
