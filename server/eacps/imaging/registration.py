"""Measure how far a model shifted and zoomed the preserved part of the scene, and undo it.

Edit models move the whole picture by some pixels or scale it by some percent. Pasted back, it does not fit its
surroundings. Shift and scale are estimated by Gauss-Newton steps on robustly weighted differences of brightness (Lucas
and Kanade 1981, inverse compositional form of Baker and Matthews 2004, Tukey's biweight), from coarse to fine.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from eacps.arrays import Float32, Picture
from eacps.imaging.spaces import LUMA

LARGEST_SHIFT, LARGEST_ZOOM = 0.1, 0.12
"""Of the shorter side, and of the size: what is beyond is no accident of a model."""
LEAST_KEPT = 0.05
"""Of the pixels, that must be left to compare."""
SURE_CORRELATION = 0.5
"""Of fine structure, once aligned; below, the pictures are not of the same thing."""
SURE_ERROR = 0.25
"""Standard error of the displacement at the corners, in pixels."""
WORTH = 0.5
"""Mean displacement in pixels from which on it is corrected: less is not seen, and resampling costs sharpness."""
_COARSEST, _FINEST = 40, 384
"""Shorter sides between which pictures are compared."""
_STEPS = 12
_STEADY, _SETTLED = 0.01, 0.05
"""Largest last step, in pixels of a level, of a motion that is exact, and of one that has settled. Where pictures are
not of the same thing, the steps do not become smaller."""
_MEDIAN_OF = 8192
"""Pixels that are enough for the median of all."""
_SURELY = 6.0
"""Standard errors within which a measurement is relied on."""
_SIGMA = 4.0  # of the structure that is compared, in pixels of each level
_CONTRASTS = 0.25, 4.0
"""Of a picture against its scene, that are allowed for."""
_ZOOMS = np.linspace(1 - LARGEST_ZOOM, 1 + LARGEST_ZOOM, 13)

Motion = npt.NDArray[np.float64]
"""Shift across and down, in halves of the shorter side, and zoom less 1: about the middle of the picture."""
_Kept = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Alignment:
    """Shift and zoom of a picture relative to its scene.

    Args:
        shift: Across and down, in pixels: how far the middle of the scene has moved in the picture.
        scale: By what it has grown about the middle.
        displacement: Mean distance over the picture, in pixels.
        error: Standard error of the displacement at the corners, in pixels.
        sure: Whether it may be relied on.
    """

    shift: tuple[float, float]
    scale: float
    displacement: float
    error: float
    sure: bool


def measure_alignment(picture: Picture, scene: Picture, kept: _Kept, *, exact_from: float = 0.0) -> Alignment | None:
    """Measure how far a picture is shifted and zoomed against its scene.

    Args:
        picture: ``uint8 [H, W, 3]``.
        scene: Of the same size.
        kept: ``bool [H, W]``, the part to preserve; pixels that changed nevertheless count less.
        exact_from: In pixels: a displacement that is surely below it is measured no more exactly than that takes.

    Returns:
        None where there is nothing to compare, since too little is kept or it has no structure, or where no motion
        makes the pictures alike.
    """
    if kept.mean() < LEAST_KEPT:
        return None
    if np.array_equal(picture[kept], scene[kept]):
        return Alignment((0.0, 0.0), 1.0, 0.0, 0.0, sure=True)
    factor, sizes = 1, list(_halved(picture @ LUMA, scene @ LUMA, kept.astype(np.float32)))
    while min(sizes[0][0].shape) >= 2 * _FINEST:  # finer detail adds nothing but time
        factor, sizes = 2 * factor, sizes[1:]
    levels = [_Level(*size) for size in sizes]
    near = _followed(levels, np.zeros(3), factor, exact_from)
    if near is not None and near.sure:  # as most are, and a search for the start takes most of the time
        return near
    start = _start(*levels[-1].compared)
    return None if start is None else _followed(levels, start, factor)


def _followed(levels: "list[_Level]", motion: Motion, factor: int, exact_from: float = 0.0) -> Alignment | None:
    """Refine a motion from the coarsest level to the finest, or to one that shows that it is below ``exact_from``.

    None where it does not settle, or there is nothing to compare.
    """
    found = None
    for number in reversed(range(len(levels))):
        level = levels[number]
        refined = _refined(*level.compared, level.jacobian, motion)
        if refined is None:
            return None
        motion = refined
        if number and not exact_from:
            continue
        found = _alignment(*level.compared, level.jacobian, motion, factor * 2**number)
        if found is not None and found.sure and found.displacement + _SURELY * found.error < exact_from:
            break
    return found


def corrected(picture: Picture, alignment: Alignment) -> Picture:
    """Return a picture moved back to where its scene is; what lay beyond its edges is its edge."""
    height, width = picture.shape[:2]
    half = min(height, width) / 2
    motion = np.array([alignment.shift[0] / half, alignment.shift[1] / half, alignment.scale - 1])
    x, y = _moved((height, width), motion)
    channels = [_sampled(channel.astype(np.float32), x, y) for channel in np.moveaxis(picture, -1, 0)]
    return np.rint(np.stack(channels, axis=-1)).clip(0, 255).astype(np.uint8)


class _Level:
    """Picture, scene and weights at one size; what is compared is computed when it is needed.

    Args:
        picture: Brightness, ``[H, W]``.
        scene: Likewise.
        weights: Likewise, 0 to 1.
    """

    def __init__(self, picture: Float32, scene: Float32, weights: Float32) -> None:
        self._picture, self._scene, self._weights = picture, scene, weights

    @cached_property
    def compared(self) -> tuple[Float32, Float32, Float32]:
        """Structure of picture and scene, and the weights without a border."""
        return _structure(self._picture), _structure(self._scene), _inner(self._weights)

    @cached_property
    def jacobian(self) -> Float32:
        """See `_jacobian`."""
        return _jacobian(self.compared[1])


def _halved(one: Float32, other: Float32, weights: Float32) -> Iterator[tuple[Float32, Float32, Float32]]:
    """Yield brightness of picture and scene with weights, each time at half the size."""
    while True:
        yield one, other, weights
        if min(one.shape) < 2 * _COARSEST:
            return
        size = (one.shape[1] // 2, one.shape[0] // 2)
        one, other, weights = (_resized(values, size) for values in (one, other, weights))


def _resized(values: Float32, size: tuple[int, int]) -> Float32:
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BOX))


def _structure(brightness: Float32) -> Float32:
    """Brightness less its surroundings, so that a change of tone counts for nothing."""
    image = Image.fromarray(brightness.clip(0, 255).astype(np.uint8))
    fine = image.filter(ImageFilter.GaussianBlur(0.8))
    return np.asarray(fine, np.float32) - np.asarray(image.filter(ImageFilter.GaussianBlur(_SIGMA)), np.float32)


def _inner(weights: Float32) -> Float32:
    """Weights without a border, beyond which a moved picture shows nothing."""
    inner, border = np.zeros_like(weights), max(2, min(weights.shape) // 40)
    inner[border:-border, border:-border] = weights[border:-border, border:-border] > 0.99
    return inner


def _start(picture: Float32, scene: Float32, weights: Float32) -> Motion | None:
    """Find the shift and zoom of the best correlation on the coarsest level."""
    best: tuple[float, Motion] | None = None
    for zoom in _ZOOMS:
        motion = np.array([0.0, 0.0, zoom - 1])
        zoomed = _sampled(picture, *_moved(picture.shape, motion))
        shift = _shift(zoomed, scene, weights) * zoom * 2 / min(picture.shape)
        motion[:2] = shift.clip(-2 * LARGEST_SHIFT, 2 * LARGEST_SHIFT)
        correlation = _correlation(_sampled(picture, *_moved(picture.shape, motion)), scene, weights)
        if best is None or correlation > best[0]:
            best = correlation, motion
    return None if best is None or best[0] <= 0 else best[1]


def _shift(picture: Float32, scene: Float32, weights: Float32) -> npt.NDArray[np.float64]:
    """Return the shift in pixels by phase correlation (Kuglin and Hines 1975)."""
    spectrum = np.fft.rfft2(picture * weights) * np.conj(np.fft.rfft2(scene * weights))
    peak = np.fft.irfft2(spectrum / np.maximum(np.abs(spectrum), 1e-6), s=picture.shape)
    y, x = np.unravel_index(int(peak.argmax()), peak.shape)
    height, width = picture.shape
    return np.array([(x + width // 2) % width - width // 2, (y + height // 2) % height - height // 2], np.float64)


def _refined(picture: Float32, scene: Float32, weights: Float32, jacobian: Float32, motion: Motion) -> Motion | None:
    """Return ``motion`` after steps towards the best; None where they do not settle."""
    robust, size = weights, np.inf
    for _ in range(_STEPS):
        moved = _sampled(picture, *_moved(scene.shape, motion))
        contrast = _contrast(moved, scene, robust)
        difference = moved - contrast * scene
        robust = weights * _biweight(difference, weights)
        step = _solved(jacobian, difference, robust)
        if step is None:  # too little is kept at this size; a finer one may do
            return motion
        step /= contrast
        # The scene moved by the step looks like the picture: compose the motion with its inverse.
        zoom = (1 + motion[2]) / (1 + step[2])
        motion = np.array([*(motion[:2] - zoom * step[:2]), zoom - 1])
        motion = motion.clip(-2 * LARGEST_SHIFT, 2 * LARGEST_SHIFT)
        size = np.abs(step).max() * min(scene.shape) / 2
        if size < _STEADY:
            break
    return motion if size < _SETTLED else None


def _contrast(picture: Float32, scene: Float32, weights: Float32) -> float:
    """Return by what the structure of a picture is stronger than that of its scene, as where the light has changed."""
    weighted = (weights * scene).ravel()
    energy = weighted @ scene.ravel()
    return 1.0 if energy <= 0 else float(np.clip(weighted @ picture.ravel() / energy, *_CONTRASTS))


def _alignment(
    picture: Float32, scene: Float32, weights: Float32, jacobian: Float32, motion: Motion, factor: int
) -> Alignment | None:
    height, width = scene.shape
    moved = _sampled(picture, *_moved((height, width), motion))
    contrast = _contrast(moved, scene, weights)
    difference = moved - contrast * scene
    robust = weights * _biweight(difference, weights)
    covariance = _covariance(contrast * jacobian, difference, robust)
    if covariance is None:
        return None
    half = min(height, width) / 2
    corner = np.array([[1, 0, width / 2 / half], [0, 1, height / 2 / half]])
    error = factor * half * float(np.sqrt(np.trace(corner @ covariance @ corner.T)))
    x, y = _moved((height, width), motion)
    across, down = x - np.arange(width, dtype=np.float32), y - np.arange(height, dtype=np.float32)[:, None]
    displacement = factor * float(np.sqrt(across**2 + down**2).mean(dtype=np.float64))
    within = np.abs(motion[:2]).max() < 1.99 * LARGEST_SHIFT and abs(motion[2]) < LARGEST_ZOOM
    sure = within and error < SURE_ERROR and _correlation(moved, scene, robust) > SURE_CORRELATION
    shift = (factor * half * float(motion[0]), factor * half * float(motion[1]))
    return Alignment(shift, 1 + float(motion[2]), displacement, error, bool(sure))


def _moved(shape: tuple[int, ...], motion: Motion) -> tuple[Float32, Float32]:
    """Return where in a moved picture every pixel of the scene is, as columns ``[W]`` and rows ``[H]`` for all."""
    height, width = shape
    half, (middle_x, middle_y) = min(height, width) / 2, ((width - 1) / 2, (height - 1) / 2)
    x = (1 + motion[2]) * (np.arange(width) - middle_x) + middle_x + half * motion[0]
    y = (1 + motion[2]) * (np.arange(height) - middle_y) + middle_y + half * motion[1]
    return x[None, :].astype(np.float32), y[:, None].astype(np.float32)


def _sampled(values: Float32, x: Float32, y: Float32) -> Float32:
    """Interpolate ``[H, W]`` at columns and rows by cubic convolution (Keys 1981), one axis after the other."""
    return _interpolated(_interpolated(values, y, axis=0), x, axis=1)


def _interpolated(values: Float32, at: Float32, *, axis: int) -> Float32:
    """Interpolate ``[H, W]`` along an axis at positions, a column or a row of them; beyond the edges is the edge."""
    first = np.floor(at).astype(np.int64)
    neighbors = np.arange(-1, 3, dtype=np.int64)[:, None, None]
    shares = _keys(at - first - neighbors)
    taken = np.empty((at.size, values.shape[1]) if axis == 0 else (values.shape[0], at.size), np.float32)
    result = np.zeros_like(taken)
    for index, share in zip((first + neighbors).reshape(4, -1), shares, strict=True):
        values.take(index, axis=axis, out=taken, mode="clip")
        taken *= share
        result += taken
    return result


def _keys(distance: Float32) -> Float32:
    size = np.abs(distance)
    near = (1.5 * size - 2.5) * size * size + 1
    far = ((-0.5 * size + 2.5) * size - 4) * size + 2
    return np.asarray(np.where(size <= 1, near, np.where(size < 2, far, 0)), np.float32)


def _jacobian(scene: Float32) -> Float32:
    """Return the derivatives of the scene by its motion, ``[3, H W]``."""
    height, width = scene.shape
    half = np.float32(min(height, width) / 2)
    down, across = _slope(scene), _slope(scene.T).T
    x = (np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2))[None, :]
    y = (np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2))[:, None]
    rows = np.empty((3, height, width), np.float32)
    np.multiply(half, across, out=rows[0])
    np.multiply(half, down, out=rows[1])
    np.add(x * across, y * down, out=rows[2])
    return rows.reshape(3, -1)


def _slope(values: Float32) -> Float32:
    """Return differences of neighboring rows, as `np.gradient` does, several times as fast."""
    slope = np.empty_like(values)
    np.subtract(values[2:], values[:-2], out=slope[1:-1])
    slope[1:-1] *= np.float32(0.5)
    slope[0], slope[-1] = values[1] - values[0], values[-1] - values[-2]
    return slope


def _biweight(difference: Float32, weights: Float32) -> Float32:
    """Weights that forget what has changed: 0 beyond some six times the usual difference (Tukey)."""
    compared = np.abs(difference[weights > 0])
    usual = np.median(compared[:: max(1, compared.size // _MEDIAN_OF)]) if compared.size else 0.0
    part = difference / np.float32(max(6.0 * 1.4826 * float(usual), 2.0))
    part *= part
    np.subtract(1, part, out=part)
    np.maximum(part, 0, out=part)
    part *= part
    return part


def _solved(jacobian: Float32, difference: Float32, weights: Float32) -> Motion | None:
    weighted = jacobian * weights.ravel()
    normal = _products(weighted, jacobian)
    if np.linalg.cond(normal) > 1e8:
        return None
    return np.asarray(np.linalg.solve(normal, (weighted @ difference.ravel()).astype(np.float64)))


def _products(weighted: Float32, jacobian: Float32) -> npt.NDArray[np.float64]:
    """Return ``weighted @ jacobian.T``, symmetric. BLAS multiplies three long rows ten times as fast one by one."""
    product = np.empty((3, 3))
    for row in range(3):
        for column in range(row, 3):
            product[row, column] = product[column, row] = weighted[row] @ jacobian[column]
    return product


def _covariance(jacobian: Float32, difference: Float32, weights: Float32) -> npt.NDArray[np.float64] | None:
    normal = _products(jacobian * weights.ravel(), jacobian)
    if not weights.any() or np.linalg.cond(normal) > 1e8:
        return None
    variance = float((weights * difference**2).sum() / max(1.0, float(weights.sum()) - 3))
    inverse = np.linalg.inv(normal)
    # Neighboring differences are alike: as many are independent as there are spots of that size.
    return np.asarray(inverse * variance * 4 * np.pi)


def _correlation(one: Float32, other: Float32, weights: Float32) -> float:
    product = float((weights * one * other).sum())
    size = float(np.sqrt((weights * one**2).sum() * (weights * other**2).sum()))
    return product / size if size > 0 else 0.0
