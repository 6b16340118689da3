"""The record of how a picture was made, inside its file: IPTC's source type and a JSON text, in an XMP packet."""

import html
import io
import itertools
import json
import re
import warnings
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from PIL import Image, UnidentifiedImageError

import eacps

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's term for a picture of which a part was made by a trained model."""
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:eacps="urn:eacps:record:1"
 xmp:CreatorTool="EACPS {version}" Iptc4xmpExt:DigitalSourceType="{source}"{record}/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
# As this module writes it, and as programs do that rewrite attributes as elements.
_ATTRIBUTE = re.compile(r"eacps:Record\s*=\s*\"([^\"]*)\"|eacps:Record\s*=\s*'([^']*)'")
_ELEMENT = re.compile(r"<eacps:Record>([^<]*)</eacps:Record>")
_SCANNED = re.compile(
    rb"eacps:Record(?:\s*=\s*\"([^\"]*)\"|\s*=\s*'([^']*)'|(?<=<eacps:Record)>([^<]*)</eacps:Record>)"
)
_MARKER = b"eacps:Record"
_MOST_PACKETS = 8
_XMP_TAG = 700
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF")
_EXR = b"v/1\x01"


def packet_of(record: Mapping[str, Any] | None) -> str:
    """Return an XMP packet that says that a model made a part of the picture, and how if there is a record."""
    text = ""
    if record is not None:
        quoted = escape(json.dumps(record, ensure_ascii=False, sort_keys=True), {'"': "&quot;", "\n": "&#10;"})
        text = f' eacps:Record="{quoted}"'
    return _PACKET.format(version=eacps.__version__, source=SOURCE_TYPE, record=text)


def read_record(data: bytes) -> dict[str, Any] | None:
    """Return the record inside a file that a picture is delivered or often saved in; None where there is none.

    Raises:
        ValueError: It is no such file, or its record is damaged.
    """
    if data.startswith(_EXR):  # whose header holds the packet as it is
        return next(iter(scanned_records(data)), None)
    packet = _packet_in(data)
    found = _ATTRIBUTE.search(packet) or _ELEMENT.search(packet)
    return None if found is None else _record(next(group for group in found.groups() if group is not None))


def may_hold_record(data: bytes) -> bool:
    """Whether `scanned_records` may find any: a search for one word."""
    return _MARKER in data


def scanned_records(data: bytes) -> list[dict[str, Any]]:
    """Return the records that stand in a file as plain text, as XMP does in most formats, without reading its format.

    Safe for a stranger's bytes, in time that grows with their number. A packet that its container compresses is missed,
    and what only looks like a record is left out.
    """
    found = []
    for match in itertools.islice(_SCANNED.finditer(data), _MOST_PACKETS):
        try:
            found.append(_record(next(group for group in match.groups() if group is not None).decode()))
        except ValueError:
            continue
    return found


def _record(text: str) -> dict[str, Any]:
    try:
        record = json.loads(html.unescape(text))
    except RecursionError as exc:
        raise ValueError("the record is nested too deeply") from exc
    if not isinstance(record, dict):
        raise ValueError("the record is no JSON object")  # noqa: TRY004 - of the file, not of an argument
    return record


def _packet_in(data: bytes) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
                if image.format == "TIFF":
                    packet = image.tag_v2.get(_XMP_TAG, packet)  # type: ignore[attr-defined]
    except (UnidentifiedImageError, OSError, SyntaxError) as exc:
        raise ValueError("is not a PNG, JPEG, WebP, AVIF, TIFF or OpenEXR picture") from exc
    return packet if isinstance(packet, str) else bytes(packet).decode("utf-8", "replace")
