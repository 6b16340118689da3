"""Between ComfyUI's tensors and files.

An IMAGE is ``float [B, H, W, C]`` in ``[0, 1]``, sRGB; a MASK is ``float [B, H, W]`` or ``[H, W]``, 1 where the picture
is to change.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from eacps.imaging import TRUSTED, encode_png
from eacps.imaging.reading import read_source

Samples = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
_BYTE, _WORD = 255, 65535


def files_of(images: torch.Tensor) -> list[bytes]:
    """Encode a batch of pictures as PNG; of 16 bits where 8 bits would not hold their values.

    Raises:
        ValueError: It is not a batch of pictures.
    """
    if images.ndim != 4 or images.shape[3] not in (1, 3, 4) or images.numel() == 0:
        raise ValueError(f"an IMAGE is [B, H, W, C], not {list(images.shape)}")
    return [encode_png(_samples(one)) for one in images]


def mask_file_of(mask: torch.Tensor | None, scene: torch.Tensor) -> bytes | None:
    """Encode a mask as PNG; None if there is none.

    An empty mask of another size than the scene is none: ComfyUI's LoadImage gives it for a picture without alpha.

    Raises:
        ValueError: It is no mask, or has another size than the scene.
    """
    if mask is None:
        return None
    plane = mask[0] if mask.ndim == 3 and mask.shape[0] == 1 else mask
    if plane.ndim != 2:
        raise ValueError(f"a MASK for one scene is [H, W] or [1, H, W], not {list(mask.shape)}")
    if plane.shape != scene.shape[1:3]:
        if not bool(plane.any()):
            return None
        (height, width), (high, wide) = plane.shape, scene.shape[1:3]
        raise ValueError(f"the mask is {width}x{height}, the scene {wide}x{high}; they must be equal")
    return encode_png(_samples(plane))


def images_of(files: Sequence[bytes]) -> torch.Tensor:
    """Decode delivered files of one size to a batch of pictures.

    Colors stay as they are in the file; what is beyond RGB, such as alpha, is left out.
    """
    return torch.stack([torch.from_numpy(_floats(read_source(file, TRUSTED).samples)) for file in files])


def _samples(picture: torch.Tensor) -> Samples:
    values: npt.NDArray[np.float64] = picture.detach().cpu().to(torch.float64).numpy().clip(0.0, 1.0)
    bytes_ = np.rint(values * _BYTE)
    if np.abs(bytes_ / _BYTE - values).max() < 1 / (4 * _WORD):
        return bytes_.astype(np.uint8)
    return np.rint(values * _WORD).astype(np.uint16)


def _floats(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    most = np.iinfo(samples.dtype).max
    colors = samples[..., :3] if samples.shape[2] >= 3 else np.repeat(samples[..., :1], 3, axis=2)
    return (colors.astype(np.float64) / most).astype(np.float32)
