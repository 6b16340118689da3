"""Cards of the contact sheet: a picture, a title, a note, and its scores as bars."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from eacps.client.record import ScoredPicture
from eacps.drawing.lettering import font, write

INK, FAINT, PAPER, CARD, EDGE, TRACK, VOID = "#161b26", "#667085", "#f3f4f7", "#ffffff", "#dde1e8", "#eaecf1", "#d5d9e1"
ACCENT = "#08805f"
SATURATED = "sat."
"""Shown for a score at the end of its scale."""
SCORER_COLORS = (
    *("#3563d9", "#d98a16", "#9147c4", "#c43d62", "#2f8fa3", "#6f7f2a"),
    *("#7c4a21", "#e06aa4", "#555f70", "#b7a600"),
)
_RADIUS = 10


@dataclass(frozen=True)
class Card:
    """One picture with its text.

    Args:
        picture: None leaves the area empty.
        title: First line.
        note: Second line.
        evaluation: None for a picture that is not scored.
        emphasis: 0 for none, 1 for an outline, 2 for a strong one.
    """

    picture: Image.Image | None
    title: str
    note: str
    evaluation: ScoredPicture | None = None
    emphasis: int = 0


@dataclass(frozen=True)
class CardStyle:
    """Sizes of one kind of card, in pixels.

    Args:
        picture: Side of the square for the picture.
        pad: Between the card's edge and what is on it.
        title: Size of the first line.
        note: Size of the second line.
        bars: Number of scorers whose scores are shown.
        named_bars: Whether every bar is labeled with its scorer's name.
    """

    picture: int
    pad: int
    title: int
    note: int
    bars: int
    named_bars: bool = False

    @property
    def width(self) -> int:
        """Width of the card."""
        return self.picture + 2 * self.pad

    @property
    def bar_pitch(self) -> int:
        """Distance from one bar to the next."""
        return self.note + 3

    @property
    def height(self) -> int:
        """Height of the card."""
        words = self.title + 8 + self.note + 8 + self.bars * self.bar_pitch
        return self.pad + self.picture + 6 + words + self.pad // 2


def color_of(index: int) -> str:
    """Return the color of the scorer at ``index``. The palette repeats."""
    return SCORER_COLORS[index % len(SCORER_COLORS)]


def draw_card(
    sheet: Image.Image, card: Card, corner: tuple[int, int], style: CardStyle, scorers: Sequence[str]
) -> None:
    """Draw ``card`` with its top left corner at ``corner``; scorers in the order of their bars."""
    pen, (left, top) = ImageDraw.Draw(sheet), corner
    outline, width = ((EDGE, 1), (ACCENT, 2), (ACCENT, 4))[card.emphasis]
    box = (left, top, left + style.width, top + style.height)
    pen.rounded_rectangle(box, _RADIUS, fill=CARD, outline=outline, width=width)
    left, top = left + style.pad, top + style.pad
    sheet.paste(_framed(card.picture, style.picture), (left, top))
    top += style.picture + 6
    value, free = potential_text(card.evaluation), float(style.picture)
    if value:
        write(pen, (left + style.picture, top), value, style.title, ACCENT, bold=True, right=True)
        free -= font(style.title).getlength(value) + 8
    write(pen, (left, top), card.title, style.title, INK, width=free, bold=True)
    top += style.title + 8
    write(pen, (left, top), card.note, style.note, FAINT, width=style.picture)
    if card.evaluation is not None:
        _draw_bars(pen, card.evaluation, (left, top + style.note + 8), style, scorers[: style.bars])


def potential_text(evaluation: ScoredPicture | None) -> str:
    """Return the potential as the sheet shows it; empty if there is none."""
    if evaluation is None or evaluation.potential is None:
        return ""
    return f"{evaluation.potential:.3f}" if evaluation.complete else f"> {evaluation.potential:.3f}"


def _framed(picture: Image.Image | None, side: int) -> Image.Image:
    """Fit a picture into a square of ``side`` pixels."""
    frame = Image.new("RGB", (side, side), VOID)
    if picture is None:
        pen = ImageDraw.Draw(frame)
        pen.text((side / 2, side / 2), "no picture", FAINT, font(14), anchor="mm")
        return frame
    scale = side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    fitted = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    frame.paste(fitted, ((side - width) // 2, (side - height) // 2))
    return frame


def _draw_bars(
    pen: ImageDraw.ImageDraw,
    evaluation: ScoredPicture,
    corner: tuple[int, int],
    style: CardStyle,
    scorers: Sequence[str],
) -> None:
    left, top = corner
    size = style.note - 1
    label = max((font(size).getlength(name) for name in scorers), default=0) + 8 if style.named_bars else 0
    label = min(label, style.picture * 0.45)
    start, end = left + label, left + style.picture - font(size).getlength("0.00") - 8
    for index, name in enumerate(scorers):
        middle, value = top + style.note // 2 + 1, evaluation.scores.get(name)
        if style.named_bars:
            write(pen, (left, top), name, size, FAINT, width=label - 6)
        pen.rounded_rectangle((start, middle - 3, end, middle + 3), 3, fill=TRACK)
        if value is not None:
            tip = start + max(6.0, (end - start) * value)
            pen.rounded_rectangle((start, middle - 3, tip, middle + 3), 3, fill=color_of(index))
        text = "none" if value is None else SATURATED if name in evaluation.saturated else f"{value:.2f}"
        write(pen, (left + style.picture, top), text, size, FAINT, right=True)
        top += style.bar_pitch
