"""That the studio can be seen, read and operated by everyone: names, contrast, sizes, order, and no mouse."""

from collections.abc import Iterator
from typing import Any

import pytest

from eacps.client import Client, v1
from tests.cli.searches import picture
from tests.studio.accessible import cut_off, faint, measured, nameless, outline_faults, tab_faults, too_small
from tests.studio.conftest import CAROL, NARROW, SAMPLES, WIDE, Open, signed_in

FEW = 4


@pytest.fixture
def studio(keyed_studio: str) -> str:
    """The studio that `open_page` opens."""
    return keyed_studio


def faults_of(page: Any, view: str) -> Iterator[str]:
    """What is wrong with a view, wide and narrow, light and dark."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        yield from (f"{view}, {scheme}, contrast: {one}" for one in faint(page))
    for size in (NARROW, WIDE):
        page.set_viewport_size(size)
        yield from (f"{view}, {size['width']} pixels, cut off: {one}" for one in cut_off(page))
        yield from (f"{view}, {size['width']} pixels, small: {one}" for one in too_small(page))
    yield from (f"{view}: a {role} without a name" for role in nameless(page))
    yield from (f"{view}: {one}" for one in outline_faults(page))
    yield from (f"{view}, Tab: {one}" for one in tab_faults(page))


@pytest.fixture
def few(keyed: str) -> str:
    """Id of a search of Carol's with few candidates, a shot of a batch."""
    request = v1.RunSearchRequest(
        scene=v1.Image(data=picture(10)), character=v1.Image(data=picture(100)), prompt="make her smile"
    )
    request.search.best_of_n.trajectories = FEW
    request.labels.update(batch="reel 1", shot="12a")
    with Client(keyed, api_key=CAROL) as client:
        return client.submit(request).search_id


def test_every_view_can_be_seen_read_and_reached(open_page: Open, few: str, studio: str) -> None:
    page = open_page()
    page.get_by_label("API key").wait_for()
    faults = [*faults_of(page, "sign in")]
    page.close()
    page = signed_in(open_page)
    faults += faults_of(page, "empty form")
    page.locator("#file-scene").set_input_files(SAMPLES / "smile" / "scene.png")
    page.locator("#file-character").set_input_files(SAMPLES / "smile" / "character.png")
    for slot in ("scene", "character"):
        page.locator(f"[data-slot={slot}] .face").wait_for()
    page.locator("#face-by-scene").select_option("box")
    page.locator("#face-by-character").select_option("likeness")
    page.get_by_text("More settings").click()
    page.locator("#prior").select_option("given")
    faults += faults_of(page, "form")
    page.locator("#paint").click()
    page.locator(".painter .zoom").wait_for()
    faults += faults_of(page, "mask")
    page.keyboard.press("Escape")
    page.goto(f"{studio}/searches/{few}")
    page.locator("#grid figure").nth(FEW - 1).wait_for(state="attached")
    page.locator("#grid .star").first.click()
    page.locator("#sort").select_option("newest first")
    faults += faults_of(page, "search")
    page.locator("#grid .picture").first.click()
    page.locator(".layer.over img[src$=whole]:only-child").wait_for()
    page.get_by_text("Render with more steps").click()
    faults += faults_of(page, "viewer")
    for path, there in (
        ("/history", "[data-search]"),
        ("/picks", "[data-pick]"),
        ("/batches", ".batch"),
        ("/batches/reel%201", "[data-shot]"),
        ("/nowhere", ".view"),
    ):
        page.goto(studio + path)
        page.locator(there).first.wait_for()
        faults += faults_of(page, path)
    assert not faults, "\n".join(faults)


def tab_to(page: Any, name: str, *, back: bool = False) -> None:
    """Press Tab until what has the focus is called so."""
    for _ in range(150):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if measured(page, "name").startswith(name):
            return
    pytest.fail(f"Tab does not reach {name!r}")


def test_a_whole_way_without_a_mouse(open_page: Open) -> None:
    page = signed_in(open_page)
    page.emulate_media(reduced_motion="reduce")
    tab_to(page, "smile")
    page.keyboard.press("Enter")
    page.locator("[data-slot=scene] .face").wait_for()
    page.locator("[data-slot=character] .face").wait_for()
    tab_to(page, "Face 1 of scene")
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.ariaPressed") == "true"
    tab_to(page, "Paint a mask")
    page.keyboard.press("Enter")
    page.locator(".painter .zoom").wait_for()
    page.keyboard.press("Enter")
    for key in ("Shift+ArrowRight", "Shift+ArrowDown", "ArrowLeft", "+", "0"):
        page.keyboard.press(key)
    assert 0.001 < measured(page, "painted") < 0.1
    tab_to(page, "Keep")
    page.keyboard.press("Enter")
    page.get_by_text("Only what is painted may change").wait_for()
    assert page.evaluate("() => document.activeElement.id") == "paint", "where it was before"
    tab_to(page, "What should change")
    page.keyboard.press("End")
    page.keyboard.type(", broadly")
    tab_to(page, "8")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+Enter")
    page.locator(".state.succeeded").wait_for()
    tab_to(page, "Candidate ")
    page.keyboard.press("Enter")
    page.locator(".viewer").wait_for()
    opened = page.locator("#viewer-title").inner_text().removeprefix("Candidate ")
    page.keyboard.press("p")
    tab_to(page, "How much of A")
    page.keyboard.press("ArrowRight")
    assert page.locator("#split").input_value() == "50.5"
    page.keyboard.press("Escape")
    assert page.evaluate("() => document.activeElement.closest('figure').dataset.id") == opened
    page.keyboard.press("Tab")
    assert measured(page, "name") == f"Pick {opened}"
    assert page.evaluate("() => document.activeElement.ariaPressed") == "true"
    tab_to(page, "Picks", back=True)
    page.keyboard.press("Enter")
    print(page.url, page.content()[:3000])
    page.locator("[data-pick]").wait_for(timeout=5000)
