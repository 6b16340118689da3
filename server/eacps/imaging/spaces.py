"""Between a source's own colors and sRGB, in which models work.

Colors are worked on *encoded*: ``float32`` in the source's own space, 0 to 255 where it is display-referred, whatever
its depth, and not premultiplied. Scene-linear colors are encoded by the transfer function of sRGB (IEC 61966-2-1),
continued beyond white and, mirrored, below black, with the primaries of Rec. 709.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from eacps.arrays import Picture
from eacps.imaging.profiles import Color, from_srgb, to_srgb
from eacps.imaging.source import REC_709, Alpha, Chromaticities, Samples, Source

Encoded = npt.NDArray[np.float32]
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclass(frozen=True, eq=False)
class Space:
    """The colors of a source.

    Args:
        source: Whose.
    """

    source: Source

    @property
    def white(self) -> np.float32:
        """Every channel of white, encoded: no ink in CMYK."""
        return np.float32(0 if self.source.color is Color.CMYK else 255)

    def alpha(self, samples: Samples) -> Encoded | None:
        """Return the alpha of samples ``[H, W, C]`` in 0 to 1; None where there is none."""
        if self.source.alpha is None:
            return None
        return np.asarray(self._normal(samples[..., self.source.color.channels]).clip(0, 1), np.float32)

    def encoded(self, samples: Samples) -> Encoded:
        """Return the colors of samples ``[H, W, C]``, encoded."""
        colors, alpha = self._normal(samples[..., : self.source.color.channels]), self.alpha(samples)
        if alpha is not None and self.source.alpha is Alpha.PREMULTIPLIED:
            colors = np.divide(colors, alpha[..., None], out=np.zeros_like(colors), where=alpha[..., None] > 0)
        return self._encoded_linear(colors) if self.source.linear else np.float32(255) * colors

    def samples(self, encoded: Encoded, alpha: Encoded | None) -> Samples:
        """Return encoded colors as color samples of the source's kind.

        Args:
            encoded: ``[H, W, C]``.
            alpha: Of the same samples.
        """
        colors = self._linear(encoded) if self.source.linear else encoded / np.float32(255)
        if alpha is not None and self.source.alpha is Alpha.PREMULTIPLIED:
            colors = colors * alpha[..., None]
        dtype = self.source.samples.dtype
        if dtype.kind == "f":
            limit = np.finfo(dtype).max
            return np.asarray(colors.clip(-limit, limit), dtype)
        return np.asarray(np.rint(colors * np.float32(np.iinfo(dtype).max)).clip(0, np.iinfo(dtype).max), dtype)

    def picture(self, samples: Samples) -> Picture:
        """Return samples ``[H, W, C]`` in sRGB, ``uint8 [H, W, 3]``, over white where they are transparent."""
        picture, alpha = self._srgb(samples), self.alpha(samples)
        if alpha is None:
            return picture
        shown = np.float32(255) + alpha[..., None] * (picture.astype(np.float32) - np.float32(255))
        return np.rint(shown).astype(np.uint8)

    def from_srgb(self, picture: Picture) -> Encoded:
        """Return ``uint8 [H, W, 3]`` in sRGB encoded in the source's space, ``[H, W, C]``."""
        color = self.source.color
        if self.source.profile and not self.source.linear:
            return from_srgb(picture, color, self.source.profile).astype(np.float32) / np.float32(257)
        values = picture.astype(np.float32)
        if color is Color.GRAY:
            return np.asarray(values @ LUMA)[..., None]
        if color is Color.CMYK:
            black = np.zeros((*values.shape[:2], 1), np.float32)
            return np.concatenate([np.float32(255) - values, black], axis=-1)
        return values

    def _srgb(self, samples: Samples) -> Picture:
        color = self.source.color
        if self.source.linear or self.source.alpha is Alpha.PREMULTIPLIED:
            values = np.nan_to_num(self.encoded(samples), nan=0, posinf=255, neginf=0).clip(0, 255)
            colors = np.rint(values).astype(np.uint8)
        else:
            colors = samples[..., : color.channels]
            colors = (colors // 257).astype(np.uint8) if colors.dtype == np.uint16 else colors
        if self.source.profile and not self.source.linear:
            return to_srgb(colors, color, self.source.profile)
        if color is Color.CMYK:
            ink = np.uint16(255) - colors.astype(np.uint16)
            return np.asarray((ink[..., :3] * ink[..., 3:] + 127) // 255, np.uint8)
        return np.repeat(colors, 3, axis=-1) if color is Color.GRAY else np.ascontiguousarray(colors)

    @staticmethod
    def _normal(samples: Samples) -> Encoded:
        values = samples.astype(np.float32)
        if samples.dtype.kind != "f":
            values /= np.float32(np.iinfo(samples.dtype).max)
        return np.asarray(values, np.float32)

    def _encoded_linear(self, colors: Encoded) -> Encoded:
        if self._to_rec_709 is not None:
            colors = colors @ self._to_rec_709.T
        size = np.abs(colors)
        curve = np.where(size <= 0.0031308, 12.92 * size, 1.055 * size ** np.float32(1 / 2.4) - 0.055)
        return np.asarray(255 * np.copysign(curve, colors), np.float32)

    def _linear(self, encoded: Encoded) -> Encoded:
        values = encoded / np.float32(255)
        size = np.abs(values)
        line = np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** np.float32(2.4))
        colors = np.asarray(np.copysign(line, values), np.float32)
        if self._to_rec_709 is not None:
            colors = colors @ np.linalg.inv(self._to_rec_709).astype(np.float32).T
        return colors

    @cached_property
    def _to_rec_709(self) -> Encoded | None:
        """Return the matrix from the source's primaries to those of Rec. 709; None where they are the same."""
        source, color = self.source.chromaticities, self.source.color
        if color is Color.GRAY or np.allclose(source, REC_709, atol=1e-4):
            return None
        return (np.linalg.inv(_to_xyz(REC_709)) @ _adaptation(source, REC_709) @ _to_xyz(source)).astype(np.float32)


def _to_xyz(chromaticities: Chromaticities) -> npt.NDArray[np.float64]:
    """Return the matrix from RGB to CIE XYZ, white having Y = 1 (SMPTE RP 177)."""
    xy = np.array(chromaticities, np.float64).reshape(4, 2)
    primaries = np.column_stack([xy[:3], 1 - xy[:3].sum(axis=1)]).T
    return np.asarray(primaries * np.linalg.solve(primaries, _white(chromaticities)))


def _white(chromaticities: Chromaticities) -> npt.NDArray[np.float64]:
    x, y = chromaticities[6:]
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _adaptation(source: Chromaticities, target: Chromaticities) -> npt.NDArray[np.float64]:
    """Return the matrix that adapts XYZ from one white to another (Bradford)."""
    gains = (_BRADFORD @ _white(target)) / (_BRADFORD @ _white(source))
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD)
