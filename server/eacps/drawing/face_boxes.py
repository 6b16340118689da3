"""A picture with its faces marked, so that a person sees which number or box means whom."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from eacps.arrays import Picture
from eacps.drawing.cards import ACCENT, INK
from eacps.drawing.lettering import font
from eacps.scene.geometry import Box

_LINE_SHARE, _LETTER_SHARE = 0.003, 0.035
_LEAST_LINE, _LEAST_LETTER = 1, 11


def draw_face_boxes(picture: Picture, boxes: Sequence[Box]) -> Image.Image:
    """Draw numbered boxes over a picture.

    Args:
        picture: ``uint8 [H, W, 3]``.
        boxes: xyxy in its pixels; the first is numbered 0.

    Returns:
        RGB, of the picture's size. Each number is at the top left corner of its box, or inside where the picture
        ends above it.
    """
    drawn = Image.fromarray(picture)
    pen, side = ImageDraw.Draw(drawn), max(drawn.size)
    line, size = max(_LEAST_LINE, round(_LINE_SHARE * side)), max(_LEAST_LETTER, round(_LETTER_SHARE * side))
    for box in boxes:
        pen.rectangle(box, outline=INK, width=3 * line)
        pen.rectangle(
            tuple(edge + inset for edge, inset in zip(box, (line, line, -line, -line), strict=True)),
            outline="#ffffff",
            width=line,
        )
    for number, box in enumerate(boxes):  # above all lines
        _draw_number(pen, str(number), box, size)
    return drawn


def _draw_number(pen: ImageDraw.ImageDraw, number: str, box: Box, size: int) -> None:
    face, margin = font(size), size // 4
    width, height = round(face.getlength(number)) + 2 * margin, size + 2 * margin
    left = max(0.0, box[0])
    top = box[1] - height if box[1] >= height else max(0.0, box[1])
    pen.rectangle((left, top, left + width, top + height), fill=ACCENT)
    pen.text((left + width / 2, top + height / 2), number, "#ffffff", face, anchor="mm")
