"""The whole way of a person through the studio, in a browser over real models, and through a server that is killed."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eacps.client import v1
from tests.studio.conftest import SAMPLES, KeptServer, Open

SECONDS = 1000
LONG = 120 * SECONDS
"""Milliseconds, on a busy machine."""


def crowd(path: Path) -> Path:
    """A scene with two people, the first larger."""
    scenes = [Image.open(SAMPLES / name / "scene.png").convert("RGB") for name in ("smile", "hat")]
    width, height = scenes[0].size
    together = Image.new("RGB", (2 * width, height), (120, 140, 130))
    together.paste(scenes[0], (0, 0))
    together.paste(scenes[1].resize((width * 3 // 4, height * 3 // 4)), (width + width // 8, height // 8))
    together.save(path)
    return path


def pixels(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)))


def candidates_shown(page: Any) -> list[str]:
    return [one.get_attribute("data-id") for one in page.locator("#grid figure").all()]


def paint(page: Any) -> None:
    """Paint a stroke over the lower right quarter of the scene."""
    page.locator("#paint").click()
    box = page.locator(".painter .zoom").bounding_box()
    canvas = page.locator("#mask-canvas").bounding_box()
    assert box is not None
    assert canvas is not None
    x, y = canvas["x"] + 0.6 * canvas["width"], canvas["y"] + 0.6 * canvas["height"]
    page.locator("#brush-size").fill("30")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 0.3 * canvas["width"], y, steps=4)
    page.mouse.up()
    page.locator("#feather").fill("4")
    page.get_by_role("button", name="Keep").click()


def test_a_whole_way(open_page: Open, server: KeptServer, studio: str, tmp_path: Path) -> None:
    page = open_page()
    page.set_default_timeout(LONG)
    # Two faces are found; the smaller one is chosen.
    page.locator("#file-scene").set_input_files(crowd(tmp_path / "scene.png"))
    page.locator("#file-character").set_input_files(SAMPLES / "smile" / "character.png")
    page.locator("[data-slot=scene] .face").nth(1).wait_for()
    boxes = {index: page.locator(f"[data-face='{index}']").first.bounding_box()["width"] for index in (0, 1)}
    smaller = min(boxes, key=lambda index: boxes[index])
    page.locator(f"[data-slot=scene] [data-face='{smaller}']").click()
    assert page.locator("[data-slot=scene] [aria-pressed=true]").count() == 1
    page.locator("[data-slot=character] .face").wait_for()
    paint(page)
    page.locator("#prompt").fill("make the person smile")
    page.locator("#size").fill("12")
    page.get_by_text("More settings").click()
    page.locator("[id='sampler.steps']").fill("4")
    page.locator("[id='search.micro_batch']").fill("2")
    page.locator("#labels").fill("shot=12a")
    page.keyboard.press("Control+Enter")
    page.wait_for_url(re.compile(r"/searches/[0-9a-f]{32}$"))
    search_id = page.url.rpartition("/")[2]

    # It asks for what was chosen.
    with server.client() as client:
        request = client.get(search_id).request
        assert request.scene_face.index == smaller
        assert dict(request.labels) == {"shot": "12a"}
        mask = pixels(client.download(request.mask.artifact))[..., 0]
    assert mask.shape == pixels((tmp_path / "scene.png").read_bytes()).shape[:2]
    height, width = mask.shape
    assert mask[int(0.6 * height), int(0.75 * width)] == 255
    assert mask[int(0.1 * height), int(0.1 * width)] == 0
    assert len(np.unique(mask)) > 4, "the feather is gray"

    # Reloaded in the middle, and the server is killed and comes back: nothing is lost, nothing comes twice.
    page.locator("#grid figure").first.wait_for()
    page.reload()
    page.locator("#grid figure").first.wait_for()
    assert page.locator(".state").inner_text() == "running"
    server.kill()
    page.locator("#away").wait_for()
    server.start()
    page.locator("#away").wait_for(state="hidden")
    page.locator(".state.succeeded").wait_for()
    with server.client() as client:
        ranked = [one.candidate_id for one in client.rank(v1.RankCandidatesRequest(search_id=search_id)).candidates]
    assert candidates_shown(page) == ranked
    assert len(set(ranked)) == len(ranked) >= 12, "those that begin with another one cost less than a whole picture"

    # Weighed anew as the server would, and back.
    for name in ("identity", "prompt"):
        page.locator(f"[data-weight={name}]").fill("0")
    page.locator("[data-weight=realism]").fill("1")
    with server.client() as client:
        weighed = v1.RankCandidatesRequest(search_id=search_id, scorers=[v1.ScorerSettings(name="realism", weight=1)])
        by_realism = [one.candidate_id for one in client.rank(weighed).candidates]
    assert candidates_shown(page) == by_realism
    page.get_by_role("button", name="As in the search").click()
    assert candidates_shown(page) == ranked

    # Large, by its own address, compared, picked and downloaded.
    page.locator(f"[data-id='{ranked[1]}'] .picture").click()
    assert page.url.endswith(f"/{ranked[1]}")
    page.keyboard.press("ArrowLeft")
    assert page.url.endswith(f"/{ranked[0]}")
    over, under = page.locator(".layer.over img"), page.locator(".layer:not(.over) img")
    page.locator(".layer.over img[src$=whole]:only-child").wait_for()
    assert over.last.evaluate("(node) => node.naturalWidth") == width
    assert under.last.evaluate("(node) => node.naturalWidth") == width
    page.locator("#split").fill("20")
    assert page.locator(".compare").evaluate("(node) => node.style.getPropertyValue('--split')") == "20%"
    page.locator("#side-b").select_option("prior")
    assert page.locator(".layer:not(.over) img.framed").count() == 1
    page.keyboard.press("Escape")
    page.goto(f"{studio}/searches/{search_id}/{ranked[0]}")
    page.get_by_role("heading", name=f"Candidate {ranked[0]}").wait_for()
    page.keyboard.press("p")
    with page.expect_download() as saved:
        page.locator("#download").click()
    with server.client() as client:
        delivered = pixels(client.pick(search_id, ranked[0]))
    assert np.array_equal(pixels(Path(saved.value.path()).read_bytes()), delivered)
    assert delivered.shape[:2] == (height, width)
    assert saved.value.suggested_filename == f"{search_id[:8]}_{ranked[0]}.png"
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download record").click()
    record = json.loads(Path(saved.value.path()).read_text())
    assert record["candidate"]["candidate_id"] == ranked[0]
    assert record["request"]["prompt"] == "make the person smile"

    # More like it: a search that begins there.
    page.keyboard.press("m")
    page.wait_for_url(lambda address: search_id not in address)
    with server.client() as client:
        start = client.get(page.url.rpartition("/")[2]).request.search.start
    assert [(one.candidate.search_id, one.candidate.candidate_id) for one in start] == [(search_id, ranked[0])]
    page.locator("#grid figure").first.wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.locator(".state.cancelled").wait_for()

    # The pick is listed; history finds the search by its label.
    page.get_by_role("link", name="Picks").click()
    assert page.locator("[data-pick]").count() == 1
    assert page.locator("#picks").inner_text() == "1"
    page.goto(f"{studio}/history?state=succeeded&label=shot%3D12a")
    row = page.locator(f"[data-search='{search_id}']")
    row.wait_for()
    page.on("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button").click()
    row.wait_for(state="detached")
    page.goto(f"{studio}/searches/{search_id}")
    page.get_by_text("This is not here any more").wait_for()
