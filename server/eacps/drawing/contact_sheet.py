"""One picture of a whole search: what went in, what came out, and every candidate in rank order."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from eacps.client.record import CandidateRecord, CompleteSearch, ScoredPicture
from eacps.drawing.cards import ACCENT, FAINT, INK, PAPER, SATURATED, Card, CardStyle, color_of, draw_card
from eacps.drawing.lettering import font, write
from eacps.imaging import TRUSTED, decode_mask, decode_picture

SHEET_WIDTH, MARGIN = 1642, 44
HEADING, SECTION, FOOTING = 112, 46, 44
STORY_GAP, GRID_GAP = 46, 14
LARGEST_STORY_PICTURE = 250
LEGEND_LINE, LEGEND_GAP = 26, 26
COLUMNS, COMPACT_COLUMNS = 8, 16
DETAILED = 32
"""Candidates, best first, whose cards have bars; the others have smaller cards without."""
_PRIORS = {"none": "the scene itself", "given": "as it was given"}


@dataclass(frozen=True)
class SentInputs:
    """What the client sent and the server does not send back: character and mask, encoded, and the prompt."""

    character: bytes
    prompt: str
    mask: bytes | None = None


def draw_contact_sheet(search: CompleteSearch, inputs: SentInputs) -> Image.Image:
    """Draw the sheet.

    Args:
        search: A finished search.
        inputs: What it was made from.

    Returns:
        RGB picture, 1642 pixels wide: the story from scene to winner in the first row, then all candidates, best
        first, the best of them with scores and parents; the winner and its ancestors are outlined.
    """
    scorers = [scorer.name for scorer in search.started.scorers]
    story, grids = _story(search, inputs), _grids(search)
    story_style = _story_style(len(story), len(scorers))
    legend = _Legend.of(search)
    grid_top = MARGIN + HEADING + story_style.height + SECTION + legend.height + 24
    height = grid_top + sum(grid.height for grid in grids) + FOOTING
    sheet = Image.new("RGB", (SHEET_WIDTH, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    _draw_heading(pen, search, inputs.prompt)
    _draw_story(sheet, story, story_style, scorers)
    section_top = grid_top - SECTION - legend.height + 6
    write(pen, (MARGIN, section_top), _title(search), 21, INK, bold=True)
    legend.draw(pen, section_top)
    for grid in grids:
        grid.draw(sheet, grid_top, scorers)
        grid_top += grid.height
    _draw_footing(pen, search, height - FOOTING + 6)
    return sheet


def _story(search: CompleteSearch, inputs: SentInputs) -> list[Card]:
    """Return cards for scene, mask, character, prior, first seed, the winner's parent, winner and result, if there."""
    finished, first = search.finished, search.first_candidate
    cards = [Card(_opened(search.prior.scene.data), "Scene", "the picture to edit")]
    if inputs.mask is not None:
        cards.append(Card(Image.fromarray(decode_mask(inputs.mask, TRUSTED).pixels), "Mask", "white may change"))
    # Read as the server reads it: turned upright, in sRGB.
    cards.append(Card(Image.fromarray(decode_picture(inputs.character, TRUSTED)), "Character", "the person to put in"))
    prior = ScoredPicture.from_message(search.prior.evaluation)
    cards.append(
        Card(_opened(search.prior.prior.data), "Prior", _PRIORS.get(search.prior_mode, "the face swapped in"), prior)
    )
    plain = f"{first.id}, one plain run"
    cards.append(Card(_opened(first.thumbnail), "First seed", first.failure or plain, first.evaluation))
    if len(finished.lineage) > 1 and finished.lineage[1] != first.id:
        parent = search.candidate(finished.lineage[1])
        cards.append(Card(_opened(parent.thumbnail), "Parent of best", parent.id, parent.evaluation, emphasis=1))
    best = ScoredPicture.from_message(finished.evaluation)
    cards.append(Card(_opened(finished.best.data), "Best found", finished.best_candidate_id, best, emphasis=2))
    if search.pasted_back:
        cards.append(
            Card(
                Image.fromarray(decode_picture(search.result, TRUSTED)),
                "Result",
                "in the whole scene",
                emphasis=2,
            )
        )
    return cards


@dataclass(frozen=True)
class _Grid:
    """Cards of one style in rows."""

    cards: Sequence[Card]
    columns: int
    style: CardStyle

    @property
    def height(self) -> int:
        """In pixels, with the gap below it."""
        return math.ceil(len(self.cards) / self.columns) * (self.style.height + GRID_GAP)

    def draw(self, sheet: Image.Image, top: int, scorers: Sequence[str]) -> None:
        """Draw it from ``top`` on."""
        for index, card in enumerate(self.cards):
            row, column = divmod(index, self.columns)
            left = MARGIN + column * (self.style.width + GRID_GAP)
            draw_card(sheet, card, (left, top + row * (self.style.height + GRID_GAP)), self.style, scorers)


def _grids(search: CompleteSearch) -> list[_Grid]:
    """Return the best candidates as detailed cards, and the others as compact ones."""
    lineage, ranks = set(search.finished.lineage), search.ranks
    cards = []
    for rank, candidate in enumerate(search.ranking, start=1):
        emphasis = 2 if rank == 1 else int(candidate.id in lineage)
        note = candidate.failure or _descent(candidate, ranks)
        title = f"#{rank}  {candidate.id}" if rank <= DETAILED else candidate.id
        cards.append(Card(_opened(candidate.thumbnail), title, note, candidate.evaluation, emphasis))
    detailed = CardStyle(_column(COLUMNS) - 20, 10, title=16, note=14, bars=len(search.started.scorers))
    compact = CardStyle(_column(COMPACT_COLUMNS) - 8, 4, title=12, note=10, bars=0)
    return [_Grid(cards[:DETAILED], COLUMNS, detailed), _Grid(cards[DETAILED:], COMPACT_COLUMNS, compact)]


def _descent(candidate: CandidateRecord, ranks: dict[str, int]) -> str:
    if candidate.parents:
        return "from " + ", ".join(f"{parent} (#{ranks[parent]})" for parent in candidate.parents)
    return "start point" if candidate.move == "start" else f"seed {candidate.recipe[0][0]}"


def _story_style(cards: int, scorers: int) -> CardStyle:
    pad = 12
    fitting = (SHEET_WIDTH - 2 * MARGIN - (cards - 1) * STORY_GAP) // cards - 2 * pad
    return CardStyle(min(LARGEST_STORY_PICTURE, fitting), pad, title=19, note=15, bars=scorers, named_bars=True)


def _column(columns: int) -> int:
    return (SHEET_WIDTH - 2 * MARGIN - (columns - 1) * GRID_GAP) // columns


def _draw_heading(pen: ImageDraw.ImageDraw, search: CompleteSearch, prompt: str) -> None:
    statistics, started = search.finished.statistics, search.started
    right = SHEET_WIDTH - MARGIN
    gains = []
    if statistics.HasField("gain_over_prior"):
        gains.append((f"{statistics.gain_over_prior:+.3f}", "over the prior"))
    if statistics.HasField("gain_over_first"):
        gains.append((f"{statistics.gain_over_first:+.3f}", "over the first seed"))
    for figure, words in gains:
        color = ACCENT if not figure.startswith("-") else INK
        write(pen, (right, MARGIN - 6), figure, 40, color, bold=True, right=True)
        write(pen, (right, MARGIN + 44), words, 17, FAINT, right=True)
        right -= int(max(font(40).getlength(figure), font(17).getlength(words))) + 44
    write(pen, (MARGIN, MARGIN - 2), f"“{prompt}”", 32, INK, width=right - MARGIN, bold=True)
    facts = f"{statistics.candidates} candidates of {started.steps} steps on {started.checkpoint}"
    write(pen, (MARGIN, MARGIN + 44), f"{facts}, search seed {started.random_seed}", 17, FAINT)


def _draw_story(sheet: Image.Image, cards: Sequence[Card], style: CardStyle, scorers: Sequence[str]) -> None:
    pen, top = ImageDraw.Draw(sheet), MARGIN + HEADING - 12
    used = len(cards) * style.width + (len(cards) - 1) * STORY_GAP
    left = MARGIN + (SHEET_WIDTH - 2 * MARGIN - used) // 2
    for index, card in enumerate(cards):
        draw_card(sheet, card, (left, top), style, scorers)
        left += style.width
        if index + 1 < len(cards):
            joined = cards[index + 1].title in ("Mask", "Character")
            (_draw_plus if joined else _draw_arrow)(pen, left + STORY_GAP / 2, top + style.pad + style.picture / 2)
        left += STORY_GAP


def _draw_plus(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
    pen.line((x - 9, y, x + 9, y), FAINT, 3)
    pen.line((x, y - 9, x, y + 9), FAINT, 3)


def _draw_arrow(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
    pen.line((x - 11, y, x + 8, y), FAINT, 3)
    pen.polygon(((x + 12, y), (x + 2, y - 8), (x + 2, y + 8)), FAINT)


@dataclass(frozen=True)
class _Legend:
    """The meaning of the bars' colors, in lines that leave room for the grid's title on the first."""

    lines: tuple[tuple[tuple[int, str], ...], ...]

    @classmethod
    def of(cls, search: CompleteSearch) -> "_Legend":
        """Break the legend of a search's scorers into lines."""
        width = SHEET_WIDTH - 2 * MARGIN
        room = width - font(21).getlength(_title(search)) - 40
        lines: list[list[tuple[int, str]]] = [[]]
        for index, scorer in enumerate(search.started.scorers):
            label = f"{scorer.name}, held out" if scorer.held_out else f"{scorer.name}, weight {scorer.weight:.2f}"
            room -= _entry_width(label)
            if room < 0:
                lines.append([])
                room = width - _entry_width(label)
            lines[-1].append((index, label))
        return cls(tuple(map(tuple, lines)))

    @property
    def height(self) -> int:
        """Of the lines below the first, in pixels."""
        return LEGEND_LINE * (len(self.lines) - 1)

    def draw(self, pen: ImageDraw.ImageDraw, top: int) -> None:
        """Draw the lines, each at the right edge."""
        for number, line in enumerate(self.lines):
            right, y = float(SHEET_WIDTH - MARGIN), top + number * LEGEND_LINE
            for index, label in reversed(line):
                write(pen, (right, y + 3), label, 16, FAINT, right=True)
                left = right - _entry_width(label) + LEGEND_GAP
                pen.rounded_rectangle((left, y + 5, left + 14, y + 19), 4, fill=color_of(index))
                right -= _entry_width(label)


def _entry_width(label: str) -> float:
    return font(16).getlength(label) + 22 + LEGEND_GAP


def _title(search: CompleteSearch) -> str:
    return f"All {len(search.candidates)} candidates, best first"


def _draw_footing(pen: ImageDraw.ImageDraw, search: CompleteSearch, top: int) -> None:
    # The scorers' versions would not fit; result.json has them all.
    listed = sorted((part, text) for part, text in search.finished.versions.items() if not part.startswith("scorer."))
    versions = " · ".join(f"{part.replace('_', ' ')} {_brief(text)}" for part, text in listed)
    outlined = "outlined: the best candidate and its ancestors"
    if any(candidate.evaluation and candidate.evaluation.saturated for candidate in search.candidates):
        outlined += f" · {SATURATED}: saturated, at the end of its scale"
    write(pen, (MARGIN, top), f"{outlined} · {versions}", 14, FAINT, width=SHEET_WIDTH - 2 * MARGIN)


def _opened(data: bytes) -> Image.Image | None:
    return Image.open(io.BytesIO(data)) if data else None


def _brief(version: str) -> str:
    name, at, fingerprint = version.partition("@")
    return name + at + fingerprint[:12]
