"""Latents as the autoencoder lays them out, and packed into tokens as the diffusion transformer takes them.

Packing puts the cells of a square of ``patch`` x ``patch`` into one token: for a patch of 2, channel ``4 c + 2 i + j``
of the token at (row, column) is channel ``c`` of the cell at (2 row + i, 2 column + j).
"""

import torch


def pack(latents: torch.Tensor, patch: int) -> torch.Tensor:
    """[N, C, H, W] to tokens [N, H/patch * W/patch, patch² C], row by row; H and W are multiples of ``patch``."""
    n, channels, height, width = latents.shape
    squares = latents.reshape(n, channels, height // patch, patch, width // patch, patch)
    return squares.permute(0, 2, 4, 1, 3, 5).reshape(n, (height // patch) * (width // patch), channels * patch**2)


def unpack(tokens: torch.Tensor, height: int, width: int, patch: int) -> torch.Tensor:
    """Undo `pack`: [N, tokens, patch² C] to [N, C, H, W]; ``height`` and ``width`` in latent cells."""
    n, _, channels = tokens.shape
    depth = channels // patch**2
    squares = tokens.reshape(n, height // patch, width // patch, depth, patch, patch)
    return squares.permute(0, 3, 1, 4, 2, 5).reshape(n, depth, height, width)
