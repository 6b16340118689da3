"""Pictures as bytes and arrays: decoding within limits, encoding, framing, fitting to a size, content hashes.

A ``Picture`` is a C-contiguous ``uint8`` array ``[H, W, 3]``, sRGB; a ``Mask`` is ``uint8 [H, W]``, 255 where a
change is allowed. This package knows nothing of requests, searches or models.
"""

from eacps.imaging.decoding import Limits, decode_mask, decode_picture, mask_of
from eacps.imaging.encoding import content_hash, encode_png, encode_thumbnail
from eacps.imaging.fitting import fit_picture, shrink_to
from eacps.imaging.framing import Frame, Framing, choose_frame, cut_mask, cut_picture, needs_face
from eacps.imaging.pasting import paste_back
from eacps.imaging.types import Mask, Picture

__all__ = [
    "Frame",
    "Framing",
    "Limits",
    "Mask",
    "Picture",
    "choose_frame",
    "content_hash",
    "cut_mask",
    "cut_picture",
    "decode_mask",
    "decode_picture",
    "encode_png",
    "encode_thumbnail",
    "fit_picture",
    "mask_of",
    "needs_face",
    "paste_back",
    "shrink_to",
]
