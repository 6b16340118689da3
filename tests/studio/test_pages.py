"""The pages of the studio over a toy landscape: batches, many candidates, keys."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eacps.api import KeyRing
from eacps.api.access import key_digest, new_key
from eacps.client import Client, v1
from tests.cli.conftest import toy_server
from tests.cli.searches import picture
from tests.studio.conftest import SAMPLES, Open, started

KEY = new_key()
MANY = 64
NARROW = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def toy() -> Iterator[str]:
    """Address of a search server over toy models, with one tenant."""
    with toy_server(keys=KeyRing({key_digest(KEY): "ada"})) as address:
        yield address


@pytest.fixture(scope="module")
def studio(toy: str) -> Iterator[str]:
    """Address of a studio over it."""
    words = ("studio", "--server", toy, "--listen", "127.0.0.1:0", "--no-browser", "--samples", SAMPLES)
    with started(*words) as (_, told):
        yield told["url"].rstrip("/")


@pytest.fixture(scope="module")
def search_id(toy: str) -> str:
    """A finished search of many candidates."""
    request = v1.RunSearchRequest(
        scene=v1.Image(data=picture(10)), character=v1.Image(data=picture(100)), prompt="make <b>her</b> smile"
    )
    request.search.best_of_n.trajectories = MANY
    with Client(toy, api_key=KEY) as client:
        found = client.submit(request)
        assert len([one for one in client.watch(found.search_id) if one.HasField("candidate_scored")]) == MANY
    return found.search_id


def signed_in(open_page: Open, path: str = "/", **options: Any) -> Any:
    """Open a page as somebody who has a key."""
    page = open_page(path, **options)
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    page.locator(".view").wait_for()
    return page


def test_a_key_is_asked_for_and_forgotten(open_page: Open, search_id: str) -> None:
    page = open_page(f"/searches/{search_id}")
    page.get_by_label("API key").fill("eacps_wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("does not know this key").wait_for()
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="make <b>her</b> smile").wait_for()
    page.reload()
    page.get_by_role("heading", name="make <b>her</b> smile").wait_for()
    assert KEY not in page.content() + str(page.evaluate("() => [document.cookie, {...localStorage}]"))
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").wait_for()


def test_many_candidates_are_thumbnails_until_one_is_opened(open_page: Open, search_id: str) -> None:
    page = signed_in(open_page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page.url + f"searches/{search_id}")
    page.locator("#grid figure").nth(MANY - 1).wait_for(state="attached")
    images = page.locator("#grid img").evaluate_all("(all) => all.map((one) => one.src.split(':')[0])")
    assert images == ["blob"] * MANY
    whole = re.compile(r"/whole$|/api/pictures/[0-9a-f]{64}$")
    assert not [one for one in asked if whole.search(one)]
    page.locator("#grid .picture").first.click()
    page.locator(".layer.over img[src$=whole]:only-child").wait_for()
    assert len([one for one in asked if one.endswith("/whole")]) == 1


def test_no_page_is_wider_than_a_phone(open_page: Open, search_id: str, tmp_path: Path) -> None:
    page = signed_in(open_page, viewport=NARROW)

    def fits(what: str) -> None:
        widths = page.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert widths == [NARROW["width"]] * 2, what

    page.get_by_text("More settings").click()
    wide = Image.new("RGB", (400, 100), (120, 140, 130))
    wide.save(tmp_path / "wide.png")
    page.locator("#file-scene").set_input_files(tmp_path / "wide.png")
    page.wait_for_function("() => document.querySelector('[data-slot=scene] img')?.naturalWidth")
    shown = page.locator("[data-slot=scene] img").bounding_box()
    assert shown["width"] / shown["height"] == pytest.approx(4, rel=0.05), "faces lie where the picture has them"
    fits("the form")
    page.goto(page.url + f"searches/{search_id}")
    page.locator("#grid figure").nth(MANY - 1).wait_for(state="attached")
    fits("a search")
    page.locator("#grid .star").first.click()
    page.locator("#grid .picture").first.click()
    page.locator(".layer.over img[src$=whole]:only-child").wait_for()
    spilled = page.locator(".viewer *").evaluate_all(
        "(all, width) => all.filter((one) => !one.closest('.zoom') && one.getBoundingClientRect().right > width)"
        ".map((one) => one.outerHTML.slice(0, 80))",
        NARROW["width"],
    )
    assert spilled == []
    page.keyboard.press("Escape")
    for view, there in (("Shelf", "[data-pick]"), ("History", "[data-search]"), ("Batches", "form")):
        page.get_by_role("link", name=view).click()
        page.locator(there).first.wait_for()
        fits(view)


def test_a_batch_is_followed_and_tried_again(open_page: Open, toy: str, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"scene{number}.png").write_bytes(picture(10 + number))
    (tmp_path / "ada.png").write_bytes(picture(100))
    text = io.StringIO()
    rows = csv.writer(text, delimiter=";")
    rows.writerow(["shot", "scene", "character", "prompt", "trajectories", "label.take"])
    rows.writerows(
        [f"s{number}", f"plates/scene{number}.png", "ada.png", 'smile; "broadly"', 2, 7] for number in range(3)
    )
    rows.writerow(["bad", "missing.png", "ada.png", "smile", 2, 7])
    page = signed_in(open_page, "/batches")

    def ask(shots: str) -> None:
        (tmp_path / "shots.csv").write_text(shots, encoding="utf-8")
        page.get_by_label("Name").fill("scene 4")
        page.get_by_label("List of shots").set_input_files(tmp_path / "shots.csv")
        page.get_by_label("Pictures").set_input_files(sorted(tmp_path.glob("*.png")))
        page.get_by_role("button", name="Start the batch").click()

    ask(text.getvalue())
    page.get_by_text("Row 4 names missing.png, which was not chosen.").wait_for()
    ask("\n".join(text.getvalue().splitlines()[:-1]))
    page.get_by_role("heading", name="Batch scene 4").wait_for()
    page.get_by_text("3 succeeded").wait_for()
    assert [one.get_attribute("data-shot") for one in page.locator("[data-shot]").all()] == ["s0", "s1", "s2"]
    with Client(toy, api_key=KEY) as client:
        found = list(client.list(labels={"batch": "scene 4"}))
        request = client.get(found[0].search_id).request
        assert (request.prompt, dict(request.labels)["take"]) == ('smile; "broadly"', "7")
        again = v1.RunSearchRequest()
        again.CopyFrom(request)
        again.request_id = "slow"
        again.search.Clear()
        again.search.best_of_n.trajectories = 4096
        client.cancel(client.submit(again).search_id)
    page.reload()
    page.get_by_text("1 failed or cancelled").wait_for()
    page.get_by_role("button", name="Retry s2").click()
    page.get_by_text("1 failed or cancelled").wait_for(state="detached")
    page.get_by_role("button", name="Cancel what is left").click()
    page.get_by_text("1 failed or cancelled").wait_for()
    page.goto(page.url.rpartition("/")[0])
    page.get_by_role("link", name=re.compile("scene 4")).wait_for()
