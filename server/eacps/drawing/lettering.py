"""Text on pictures, in Pillow's own typeface, or in one of the system's if Pillow's lacks a character."""

import bisect
from functools import cache

from PIL import ImageDraw, ImageFont

HexColor = str
Font = ImageFont.FreeTypeFont

# Pillow's typeface holds little beyond ASCII, and prompts come in all languages.
_SYSTEM_FACES = ("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "LiberationSans-Regular.ttf")
_NO_GLYPH = "\uffff"
_BOLD_STROKE = 0.35


@cache
def font(size: int) -> Font:
    """Return Pillow's typeface.

    Args:
        size: Approximate height of a line in pixels.
    """
    face = ImageFont.load_default(size)
    if not isinstance(face, ImageFont.FreeTypeFont):
        raise TypeError("this Pillow was built without FreeType, which text on pictures needs")
    return face


def font_for(text: str, size: int) -> Font:
    """Return the first typeface that has all characters of ``text``; Pillow's if none has."""
    faces = (font(size), *(face for name in _SYSTEM_FACES if (face := _system_font(name, size)) is not None))
    return next((face for face in faces if _can_draw(face, text)), faces[0])


def write(
    pen: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    text: str,
    size: int,
    color: HexColor,
    *,
    width: float | None = None,
    bold: bool = False,
    right: bool = False,
) -> None:
    """Write one line.

    Args:
        pen: Of the picture.
        corner: Top left of the line, or top right with ``right``.
        text: Line breaks become spaces.
        size: In pixels.
        color: Of the text.
        width: Longer text is cut off and ends in an ellipsis; None for no bound.
        bold: Thicken the strokes; the typeface has one weight only.
        right: Align at the right.
    """
    line = " ".join(text.split())
    face = font_for(line, size)
    shown = line if width is None else shortened(line, face, width)
    stroke = size * _BOLD_STROKE / 16 if bold else 0
    pen.text(corner, shown, color, face, anchor="ra" if right else "la", stroke_width=stroke)


def shortened(text: str, face: Font, width: float) -> str:
    """Return ``text``, or as much of its beginning as fits ``width`` pixels with an ellipsis."""
    if face.getlength(text) <= width:
        return text
    # Texts grow with their length: the shortest beginning that is too long ends one past the longest that fits.
    most = bisect.bisect_left(range(1, len(text)), True, key=lambda end: face.getlength(text[:end] + "…") > width)
    return text[:most].rstrip() + "…"


@cache
def _system_font(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None  # this machine has no such typeface


def _can_draw(face: Font, text: str) -> bool:
    absent = bytes(face.getmask(_NO_GLYPH))
    return all(character.isspace() or bytes(face.getmask(character)) != absent for character in set(text))
