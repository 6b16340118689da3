"""Latents as the VAE lays them out, and packed as the diffusion transformer takes them.

Packing puts the 2x2 cells of a square into one token: channel ``4 c + 2 i + j`` of the token at (row, column) is
channel ``c`` of the cell at (2 row + i, 2 column + j).
"""

import torch


def pack(latents: torch.Tensor) -> torch.Tensor:
    """[N, C, H, W] with even H and W to tokens [N, H/2 * W/2, 4 C], row by row."""
    n, channels, height, width = latents.shape
    squares = latents.reshape(n, channels, height // 2, 2, width // 2, 2)
    return squares.permute(0, 2, 4, 1, 3, 5).reshape(n, (height // 2) * (width // 2), channels * 4)


def unpack(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Undo `pack`: [N, H/2 * W/2, 4 C] to [N, C, H, W]; ``height`` and ``width`` in latent cells, even."""
    n, _, channels = tokens.shape
    squares = tokens.reshape(n, height // 2, width // 2, channels // 4, 2, 2)
    return squares.permute(0, 3, 1, 4, 2, 5).reshape(n, channels // 4, height, width)
