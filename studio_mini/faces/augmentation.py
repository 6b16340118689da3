"""What a camera, a codec, a lamp or a generative model may do to a picture without changing who is in it."""

import cv2
import numpy as np
from numpy.typing import NDArray


def degrade(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change colors, light, sharpness and grain at random.

    Args:
        picture: [H, W, 3] uint8, RGB.
        rng: Source of the choices.

    Returns:
        A new picture of the same shape.
    """
    result = picture.astype(np.float32)
    if rng.random() < 0.8:
        result = _recolor(result, rng)
    if rng.random() < 0.4:
        result = _side_light(result, rng)
    if rng.random() < 0.45:
        result = _soften(result, rng)
    if rng.random() < 0.35:
        result = result + rng.normal(0, rng.uniform(1, 12), result.shape).astype(np.float32)
    return np.clip(result, 0, 255).astype(np.uint8)


def cover(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Hide a rectangle of up to two fifths of each side under one color; changes the picture in place."""
    height, width = picture.shape[:2]
    tall, wide = int(rng.uniform(0.1, 0.4) * height), int(rng.uniform(0.1, 0.4) * width)
    y, x = int(rng.integers(0, height - tall)), int(rng.integers(0, width - wide))
    picture[y : y + tall, x : x + wide] = rng.uniform(0, 255, 3)
    return picture


def _recolor(picture: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    gain = (1 + rng.normal(0, 0.12) + rng.normal(0, 0.05, 3)).astype(np.float32)
    contrast = np.float32(np.exp(rng.normal(0, 0.12)))
    recolored = (picture * gain - 128) * contrast + 128 + np.float32(rng.normal(0, 8))
    if rng.random() < 0.3:
        gray = recolored.mean(axis=2, keepdims=True)
        recolored = gray + (recolored - gray) * np.float32(rng.uniform(0.5, 1.2))
    return recolored


def _side_light(picture: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    height, width = picture.shape[:2]
    slope_y, slope_x = rng.normal(0, 0.2, 2)
    light = 1 + np.add.outer(np.linspace(-1, 1, height) * slope_y, np.linspace(-1, 1, width) * slope_x)
    return picture * light.astype(np.float32)[..., None]


def _soften(picture: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Blur, or shrink and grow again as autoencoders and codecs do."""
    if rng.random() < 0.5:
        return cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 2.0))).astype(np.float32, copy=False)
    height, width = picture.shape[:2]
    factor = rng.uniform(0.3, 0.8)
    size = (max(8, int(width * factor)), max(8, int(height * factor)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)
