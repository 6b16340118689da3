"""One picture that tells a whole search: what went in, what came out, and every candidate in rank order."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from eacps.cli.cards import ACCENT, FAINT, INK, PAPER, Card, CardStyle, colour_of, draw_card
from eacps.cli.lettering import font, write
from eacps.cli.record import CandidateRecord, CompleteSearch, ScoredPicture
from eacps.imaging import decode_mask, decode_picture

WIDTH, MARGIN = 1642, 44
HEADING, SECTION, FOOTING = 112, 46, 44
STORY_GAP, GRID_GAP = 46, 14
LARGEST_STORY_PICTURE = 250
COLUMNS, COMPACT_COLUMNS = 8, 16
MOST_DETAILED = 96
"""Above this many candidates the grid has smaller cards without bars."""


@dataclass(frozen=True)
class Inputs:
    """What the client sent and the server does not send back: character and mask, encoded, and the prompt."""

    character: bytes
    prompt: str
    mask: bytes | None = None


def draw_contact_sheet(search: CompleteSearch, inputs: Inputs) -> Image.Image:
    """Draw the sheet.

    Args:
        search: A finished search.
        inputs: What it was asked for.

    Returns:
        RGB picture, 1642 pixels wide: the story from scene to winner in the first row, then all candidates, best
        first, each with scores and parents; the winner and its ancestors are outlined.
    """
    scorers = [scorer.name for scorer in search.started.scorers]
    story, grid = _story(search, inputs), _grid(search)
    story_style, grid_style = _story_style(len(story), len(scorers)), _grid_style(len(grid), len(scorers))
    columns = COMPACT_COLUMNS if len(grid) > MOST_DETAILED else COLUMNS
    rows = [grid[start : start + columns] for start in range(0, len(grid), columns)]
    grid_top = MARGIN + HEADING + story_style.height + SECTION + 24
    height = grid_top + len(rows) * (grid_style.height + GRID_GAP) + FOOTING
    sheet = Image.new("RGB", (WIDTH, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    _draw_heading(pen, search, inputs.prompt)
    _draw_story(sheet, story, story_style, scorers)
    _draw_section(pen, search, grid_top - SECTION + 6)
    for index, row in enumerate(rows):
        top = grid_top + index * (grid_style.height + GRID_GAP)
        for column, card in enumerate(row):
            draw_card(sheet, card, (MARGIN + column * (grid_style.width + GRID_GAP), top), grid_style, scorers)
    _draw_footing(pen, search, height - FOOTING + 6)
    return sheet


def _story(search: CompleteSearch, inputs: Inputs) -> list[Card]:
    """Scene, mask, character, prior, first seed, the winner's parent, winner, result; what is there of them."""
    finished, first = search.finished, search.first_candidate
    cards = [Card(_opened(search.prior.scene.data), "Scene", "the picture to edit")]
    if inputs.mask is not None:
        cards.append(Card(Image.fromarray(decode_mask(inputs.mask)), "Mask", "white may change"))
    # Read as the server reads it: turned upright, in sRGB.
    cards.append(Card(Image.fromarray(decode_picture(inputs.character)), "Character", "who shall appear"))
    prior = ScoredPicture.from_message(search.prior.evaluation)
    cards.append(Card(_opened(search.prior.prior.data), "Prior", "the face swapped in", prior))
    plain = f"{first.id}, one plain run"
    cards.append(Card(_opened(first.thumbnail), "First seed", first.failure or plain, first.evaluation))
    if len(finished.lineage) > 1 and finished.lineage[1] != first.id:
        parent = search.candidate(finished.lineage[1])
        cards.append(Card(_opened(parent.thumbnail), "Parent of best", parent.id, parent.evaluation, emphasis=1))
    best = ScoredPicture.from_message(finished.evaluation)
    cards.append(Card(_opened(finished.best.data), "Best found", finished.best_candidate_id, best, emphasis=2))
    if search.pasted_back:
        cards.append(Card(_opened(search.result), "Result", "in the whole scene", emphasis=2))
    return cards


def _grid(search: CompleteSearch) -> list[Card]:
    lineage, ranks = set(search.finished.lineage), search.ranks
    cards = []
    for rank, candidate in enumerate(search.ranking, start=1):
        emphasis = 2 if rank == 1 else int(candidate.id in lineage)
        note = candidate.failure or _descent(candidate, ranks)
        title = candidate.id if len(ranks) > MOST_DETAILED else f"#{rank}  {candidate.id}"
        cards.append(Card(_opened(candidate.thumbnail), title, note, candidate.evaluation, emphasis))
    return cards


def _descent(candidate: CandidateRecord, ranks: dict[str, int]) -> str:
    if candidate.parents:
        return "from " + ", ".join(f"{parent} (#{ranks[parent]})" for parent in candidate.parents)
    return f"seed {candidate.recipe[0][0]}"


def _story_style(cards: int, scorers: int) -> CardStyle:
    pad = 12
    fitting = (WIDTH - 2 * MARGIN - (cards - 1) * STORY_GAP) // cards - 2 * pad
    return CardStyle(min(LARGEST_STORY_PICTURE, fitting), pad, title=19, note=15, bars=scorers, named_bars=True)


def _grid_style(cards: int, scorers: int) -> CardStyle:
    if cards > MOST_DETAILED:
        return CardStyle(_column(COMPACT_COLUMNS) - 8, 4, title=12, note=10, bars=0)
    return CardStyle(_column(COLUMNS) - 20, 10, title=16, note=14, bars=scorers)


def _column(columns: int) -> int:
    return (WIDTH - 2 * MARGIN - (columns - 1) * GRID_GAP) // columns


def _draw_heading(pen: ImageDraw.ImageDraw, search: CompleteSearch, prompt: str) -> None:
    statistics, started = search.finished.statistics, search.started
    right = WIDTH - MARGIN
    gains = []
    if statistics.HasField("gain_over_prior"):
        gains.append((f"{statistics.gain_over_prior:+.3f}", "over the prior"))
    if statistics.HasField("gain_over_first"):
        gains.append((f"{statistics.gain_over_first:+.3f}", "over the first seed"))
    for figure, words in gains:
        colour = ACCENT if not figure.startswith("-") else INK
        write(pen, (right, MARGIN - 6), figure, 40, colour, bold=True, right=True)
        write(pen, (right, MARGIN + 44), words, 17, FAINT, right=True)
        right -= int(max(font(40).getlength(figure), font(17).getlength(words))) + 44
    write(pen, (MARGIN, MARGIN - 2), f"“{prompt}”", 32, INK, width=right - MARGIN, bold=True)
    facts = f"{statistics.candidates} candidates of {started.steps} steps on {started.checkpoint}"
    write(pen, (MARGIN, MARGIN + 44), f"{facts}, search seed {started.random_seed}", 17, FAINT)


def _draw_story(sheet: Image.Image, cards: Sequence[Card], style: CardStyle, scorers: Sequence[str]) -> None:
    pen, top = ImageDraw.Draw(sheet), MARGIN + HEADING - 12
    used = len(cards) * style.width + (len(cards) - 1) * STORY_GAP
    left = MARGIN + (WIDTH - 2 * MARGIN - used) // 2
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


def _draw_section(pen: ImageDraw.ImageDraw, search: CompleteSearch, top: int) -> None:
    """The grid's title, and at its right what the colours of the bars stand for."""
    write(pen, (MARGIN, top), f"All {len(search.candidates)} candidates, best first", 21, INK, bold=True)
    right = float(WIDTH - MARGIN)
    for index, scorer in reversed(list(enumerate(search.started.scorers))):
        label = f"{scorer.name}, held out" if scorer.held_out else f"{scorer.name}, weight {scorer.weight:.2f}"
        write(pen, (right, top + 3), label, 16, FAINT, right=True)
        right -= font(16).getlength(label) + 22
        pen.rounded_rectangle((right, top + 5, right + 14, top + 19), 4, fill=colour_of(index))
        right -= 26


def _draw_footing(pen: ImageDraw.ImageDraw, search: CompleteSearch, top: int) -> None:
    # Those of the scorers would not fit; result.json has them all.
    told = sorted((part, text) for part, text in search.finished.versions.items() if not part.startswith("scorer."))
    versions = " · ".join(f"{part.replace('_', ' ')} {_brief(text)}" for part, text in told)
    outlined = "outlined: the best candidate and its ancestors"
    write(pen, (MARGIN, top), f"{outlined} · {versions}", 14, FAINT, width=WIDTH - 2 * MARGIN)


def _opened(data: bytes) -> Image.Image | None:
    return Image.open(io.BytesIO(data)) if data else None


def _brief(version: str) -> str:
    name, at, fingerprint = version.partition("@")
    return name + at + fingerprint[:12]
