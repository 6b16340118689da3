"""Pictures as bytes and arrays: decoding within limits, encoding, fitting to a size, content hashes.

A ``Picture`` is a C-contiguous ``uint8`` array ``[H, W, 3]``, sRGB; a ``Mask`` is ``uint8 [H, W]``, 255 where a
change is allowed. This package knows nothing of requests, searches or models.
"""

from eacps.imaging.decoding import Limits, decode_mask, decode_picture, mask_of
from eacps.imaging.encoding import content_hash, encode_png, encode_thumbnail
from eacps.imaging.fitting import fit_box, fit_mask, fit_picture, shrink_to
from eacps.imaging.types import Mask, Picture

__all__ = [
    "Limits",
    "Mask",
    "Picture",
    "content_hash",
    "decode_mask",
    "decode_picture",
    "encode_png",
    "encode_thumbnail",
    "fit_box",
    "fit_mask",
    "fit_picture",
    "mask_of",
    "shrink_to",
]
