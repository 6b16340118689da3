"""Text on pictures: Pillow's own typeface, and a system one for the characters it lacks."""

import bisect
from functools import cache

from PIL import ImageDraw, ImageFont

Colour = str
Font = ImageFont.FreeTypeFont

# Pillow's typeface holds little beyond ASCII, and prompts come in all languages.
_SYSTEM_FACES = ("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "LiberationSans-Regular.ttf")
_NO_GLYPH = "\uffff"
_BOLD_STROKE = 0.35


@cache
def font(size: int) -> Font:
    """Pillow's typeface.

    Args:
        size: Height of a line in pixels, about.
    """
    face = ImageFont.load_default(size)
    if not isinstance(face, ImageFont.FreeTypeFont):
        raise TypeError("this Pillow was built without FreeType, which text on pictures needs")
    return face


def font_for(text: str, size: int) -> Font:
    """The first typeface that has all characters of ``text``; Pillow's where none here has."""
    faces = (font(size), *(face for name in _SYSTEM_FACES if (face := _system_font(name, size)) is not None))
    return next((face for face in faces if _can_draw(face, text)), faces[0])


def write(
    pen: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    colour: Colour,
    *,
    width: float | None = None,
    bold: bool = False,
    right: bool = False,
) -> None:
    """Write one line.

    Args:
        pen: Of the picture.
        place: Top left of the line, or top right with ``right``.
        text: Line breaks become spaces.
        size: In pixels.
        colour: Of the text.
        width: What does not fit in it is cut off and an ellipsis says so; None for no bound.
        bold: Thicken the strokes; the typeface has one weight only.
        right: Align at the right.
    """
    line = " ".join(text.split())
    face = font_for(line, size)
    shown = line if width is None else shortened(line, face, width)
    stroke = size * _BOLD_STROKE / 16 if bold else 0
    pen.text(place, shown, colour, face, anchor="ra" if right else "la", stroke_width=stroke)


def shortened(text: str, face: Font, width: float) -> str:
    """``text``, or as much of its beginning as fits ``width`` pixels with an ellipsis."""
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
