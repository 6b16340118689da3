import io
import math

import pytest
from PIL import Image

from eacps.cli import contact_sheet
from eacps.cli.cards import ACCENT, SCORER_COLOURS, potential_text
from eacps.cli.contact_sheet import Inputs, draw_contact_sheet
from eacps.cli.lettering import font, font_for, shortened
from eacps.v1 import search_service_pb2 as pb
from tests.cli import searches

INPUTS = Inputs(searches.picture(100, size=(64, 96)), "make the person smile")


def many(count: int) -> list[pb.CandidateScored]:
    return [searches.candidate(f"g0-{n:03d}", ((n % 97) / 97, 0.5, 0.5), hue=n) for n in range(count)]


def count_of(sheet: Image.Image, colour: str) -> int:
    """Pixels of exactly that colour."""
    wanted = tuple(bytes.fromhex(colour[1:]))
    return sum(number for number, found in sheet.getcolors(maxcolors=2**24) or [] if found == wanted)


def test_the_sheet_shows_scores_as_bars_and_outlines_the_winner() -> None:
    sheet = draw_contact_sheet(searches.complete(), INPUTS)
    assert sheet.mode == "RGB"
    for colour in SCORER_COLOURS[: len(searches.WEIGHTS)]:
        assert count_of(sheet, colour) > 500
    assert count_of(sheet, SCORER_COLOURS[len(searches.WEIGHTS)]) == 0
    assert count_of(sheet, ACCENT) > 2000


def test_every_candidate_has_its_place() -> None:
    candidates = [searches.candidate(f"g0-{n:03d}", (0.5, 0.5, 0.5), hue=10 * n) for n in range(20)]
    sheet = draw_contact_sheet(searches.complete(candidates), INPUTS)
    with Image.open(pb_picture(candidates[13])) as picture:
        colour = picture.convert("RGB").getpixel((5, 5))
    assert isinstance(colour, tuple)
    assert count_of(sheet, "#" + bytes(int(part) for part in colour).hex()) > 10_000


def pb_picture(candidate: pb.CandidateScored) -> io.BytesIO:
    return io.BytesIO(candidate.thumbnail.data)


@pytest.mark.parametrize("count", [1, 8, 9, contact_sheet.MOST_DETAILED, contact_sheet.MOST_DETAILED + 1])
def test_the_sheet_grows_by_rows(count: int) -> None:
    columns = contact_sheet.COLUMNS if count <= contact_sheet.MOST_DETAILED else contact_sheet.COMPACT_COLUMNS
    one_row = draw_contact_sheet(searches.complete(many(columns if columns == 8 else 97)), INPUTS)
    sheet = draw_contact_sheet(searches.complete(many(count)), INPUTS)
    assert sheet.width == one_row.width
    if columns == contact_sheet.COLUMNS:
        pitch = draw_contact_sheet(searches.complete(many(columns + 1)), INPUTS).height - one_row.height
        assert sheet.height - one_row.height == (math.ceil(count / columns) - 1) * pitch


def test_a_mask_has_a_card_of_its_own() -> None:
    with_mask = Inputs(INPUTS.character, INPUTS.prompt, searches.picture(0))
    assert draw_contact_sheet(searches.complete(), with_mask) != draw_contact_sheet(searches.complete(), INPUTS)


def test_a_lower_bound_does_not_pass_for_a_potential() -> None:
    search = searches.complete()
    assert potential_text(search.candidate("g0-000").evaluation) == "0.370"
    assert potential_text(search.candidate("g0-003").evaluation) == "> 0.370"
    assert potential_text(search.candidate("g0-001").evaluation) == ""


@pytest.mark.parametrize("prompt", ["x" * 2000, "two\nlines", "café, naïve, 让他微笑", "["])
def test_prompts_of_any_kind_are_drawn(prompt: str) -> None:
    sheet = draw_contact_sheet(searches.complete(many(2)), Inputs(INPUTS.character, prompt))
    assert sheet.width == contact_sheet.WIDTH


def test_text_is_cut_where_it_does_not_fit() -> None:
    face = font(16)
    assert shortened("short", face, 500) == "short"
    line = "along" * 10
    cut = shortened(line, face, 80)
    assert line.startswith(cut.removesuffix("…"))
    assert face.getlength(cut) <= 80 < face.getlength(line[: len(cut)] + "…")


def test_plain_text_is_set_in_the_typeface_that_every_machine_has() -> None:
    assert font_for("make the person smile", 16) is font(16)
