import io
import math

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from eacps.drawing import contact_sheet
from eacps.drawing.cards import ACCENT, SCORER_COLORS, potential_text
from eacps.drawing.contact_sheet import DETAILED, SentInputs, draw_contact_sheet
from eacps.drawing.lettering import font, font_for, shortened
from eacps.drawing.review_page import embedded
from eacps.imaging import Limits, encode_png
from eacps.v1 import search_service_pb2 as pb
from tests.cli import searches

INPUTS = SentInputs(searches.picture(100, size=(64, 96)), "make the person smile")


def many(count: int) -> list[pb.CandidateScored]:
    return [searches.candidate(f"g0-{n:03d}", ((n % 97) / 97, 0.5, 0.5), hue=n) for n in range(count)]


def count_of(sheet: Image.Image, color: str) -> int:
    """Pixels of exactly that color."""
    wanted = tuple(bytes.fromhex(color[1:]))
    return sum(number for number, found in sheet.getcolors(maxcolors=2**24) or [] if found == wanted)


def test_the_sheet_shows_scores_as_bars_and_outlines_the_winner() -> None:
    sheet = draw_contact_sheet(searches.complete(), INPUTS)
    assert sheet.mode == "RGB"
    for color in SCORER_COLORS[: len(searches.WEIGHTS)]:
        assert count_of(sheet, color) > 500
    assert count_of(sheet, SCORER_COLORS[len(searches.WEIGHTS)]) == 0
    assert count_of(sheet, ACCENT) > 2000


def test_a_score_at_the_end_of_its_scale_is_marked() -> None:
    sheets = [
        draw_contact_sheet(searches.complete([searches.candidate("g0-000", (0.5, value, 0.5))]), INPUTS)
        for value in (0.994, 0.995)
    ]
    changed = ImageChops.difference(*sheets).getbbox()
    assert changed is not None
    assert changed[3] > sheets[0].height - contact_sheet.FOOTING, "the footing says what the mark means"


def test_every_candidate_has_its_place() -> None:
    candidates = [searches.candidate(f"g0-{n:03d}", (0.5, 0.5, 0.5), hue=10 * n) for n in range(20)]
    sheet = draw_contact_sheet(searches.complete(candidates), INPUTS)
    with Image.open(pb_picture(candidates[13])) as picture:
        color = picture.convert("RGB").getpixel((5, 5))
    assert isinstance(color, tuple)
    assert count_of(sheet, "#" + bytes(int(part) for part in color).hex()) > 10_000


def pb_picture(candidate: pb.CandidateScored) -> io.BytesIO:
    return io.BytesIO(candidate.thumbnail.data)


@pytest.mark.parametrize("count", [1, 8, 9, DETAILED, DETAILED + 1, DETAILED + 16, DETAILED + 17])
def test_the_sheet_grows_by_rows(count: int) -> None:
    def height_of(candidates: int) -> int:
        return draw_contact_sheet(searches.complete(many(candidates)), INPUTS).height

    detailed, compact = height_of(9) - height_of(8), height_of(DETAILED + 17) - height_of(DETAILED + 16)
    assert compact < detailed / 2
    rows = math.ceil(min(count, DETAILED) / contact_sheet.COLUMNS)
    compact_rows = math.ceil(max(0, count - DETAILED) / contact_sheet.COMPACT_COLUMNS)
    assert height_of(count) == height_of(1) + (rows - 1) * detailed + compact_rows * compact


@pytest.mark.parametrize("held_out", [1, 4, 9])
def test_the_legend_leaves_the_title_alone(held_out: int) -> None:
    search = searches.complete(many(1))
    few = draw_contact_sheet(search, INPUTS)
    for number in range(held_out):
        search.started.scorers.append(pb.ScorerSettings(name=f"triton.question_{number}", held_out=True))
    legend = contact_sheet._Legend.of(search)
    labels = [f"{name}, weight {weight:.2f}" for name, weight in searches.WEIGHTS.items()]
    labels += [f"triton.question_{number}, held out" for number in range(held_out)]
    assert [entry for line in legend.lines for entry in line] == list(enumerate(labels))
    sheet = Image.new("L", (contact_sheet.SHEET_WIDTH, 200))
    legend.draw(ImageDraw.Draw(sheet), 0)
    title = contact_sheet.MARGIN + math.ceil(font(21).getlength("All 1 candidates, best first"))
    assert sheet.crop((0, 0, title, contact_sheet.LEGEND_LINE)).getbbox() is None
    assert sheet.crop((0, 0, contact_sheet.MARGIN, 200)).getbbox() is None
    bounds = sheet.getbbox()
    assert bounds is not None
    assert bounds[3] <= legend.height + contact_sheet.LEGEND_LINE
    assert draw_contact_sheet(search, INPUTS).height >= few.height + legend.height


def test_pictures_larger_than_a_request_are_drawn() -> None:
    grain = np.random.default_rng(0).integers(0, 256, (1300, 1200, 3), np.uint8)
    large = encode_png(grain)
    assert len(large) > Limits().max_bytes
    inputs = SentInputs(large, INPUTS.prompt, large)
    assert draw_contact_sheet(searches.complete(), inputs).width > 0
    assert embedded(large).startswith("data:image/webp")


def test_a_mask_has_a_card_of_its_own() -> None:
    with_mask = SentInputs(INPUTS.character, INPUTS.prompt, searches.half_white())
    assert draw_contact_sheet(searches.complete(), with_mask) != draw_contact_sheet(searches.complete(), INPUTS)


def test_a_lower_bound_does_not_pass_for_a_potential() -> None:
    search = searches.complete()
    assert potential_text(search.candidate("g0-000").evaluation) == "0.370"
    assert potential_text(search.candidate("g0-003").evaluation) == "> 0.370"
    assert potential_text(search.candidate("g0-001").evaluation) == ""


@pytest.mark.parametrize("prompt", ["x" * 2000, "two\nlines", "café, naïve, 让他微笑", "["])
def test_prompts_of_any_kind_are_drawn(prompt: str) -> None:
    sheet = draw_contact_sheet(searches.complete(many(2)), SentInputs(INPUTS.character, prompt))
    assert sheet.width == contact_sheet.SHEET_WIDTH


def test_text_is_cut_where_it_does_not_fit() -> None:
    face = font(16)
    assert shortened("short", face, 500) == "short"
    line = "along" * 10
    cut = shortened(line, face, 80)
    assert line.startswith(cut.removesuffix("…"))
    assert face.getlength(cut) <= 80 < face.getlength(line[: len(cut)] + "…")


def test_plain_text_is_set_in_the_typeface_that_every_machine_has() -> None:
    assert font_for("make the person smile", 16) is font(16)
