"""Pictures as bytes and arrays: files read within limits, as models see them, and written again; content hashes.

    reading       an untrusted file as a `Source`, its samples as they are (one module a format)
    profiles      ICC profiles
    spaces        between a source's colors and sRGB
    decoding      as models see it
    masks         as a mask
    registration  how far a model has shifted and zoomed a picture
    inlay         a picture that was made of a part of a scene, back into the scene
    delivery      the delivered file
    writing       a `Source` as a file
    workers       the same in worker processes

This package knows nothing of requests, searches or models.
"""

from eacps.imaging.decoder import Decoder, LocalDecoder, blank
from eacps.imaging.decoding import Decoded, decode, decode_picture
from eacps.imaging.delivery import Delivered, Layers, deliver, layers_of
from eacps.imaging.encoding import content_hash, encode_thumbnail
from eacps.imaging.fitting import fit_picture, shrink_to
from eacps.imaging.inlay import Inlay
from eacps.imaging.limits import TRUSTED, Header, Limits
from eacps.imaging.masks import decode_mask
from eacps.imaging.png import encode_png

__all__ = [
    "TRUSTED",
    "Decoded",
    "Decoder",
    "Delivered",
    "Header",
    "Inlay",
    "Layers",
    "Limits",
    "LocalDecoder",
    "blank",
    "content_hash",
    "decode",
    "decode_mask",
    "decode_picture",
    "deliver",
    "encode_png",
    "encode_thumbnail",
    "fit_picture",
    "layers_of",
    "shrink_to",
]
