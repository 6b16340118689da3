"""The pages of the studio over a toy landscape: batches, many candidates, keys."""

import csv
import io
import re
from pathlib import Path

import pytest

from eacps.client import Client, v1
from tests.cli.searches import picture
from tests.studio.conftest import CAROL, MANY, Open, signed_in


@pytest.fixture
def studio(keyed_studio: str) -> str:
    """The studio that `open_page` opens."""
    return keyed_studio


def test_a_key_is_asked_for_and_forgotten(open_page: Open, many: str) -> None:
    page = open_page(f"/searches/{many}")
    page.get_by_label("API key").fill("eacps_wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("does not know this key").wait_for()
    page.get_by_label("API key").fill(CAROL)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="make <b>her</b> smile").wait_for()
    page.reload()
    page.get_by_role("heading", name="make <b>her</b> smile").wait_for()
    assert CAROL not in page.content() + str(page.evaluate("() => [document.cookie, {...localStorage}]"))
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").wait_for()


def test_many_candidates_are_thumbnails_until_one_is_opened(open_page: Open, many: str) -> None:
    page = signed_in(open_page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page.url + f"searches/{many}")
    page.locator("#grid figure").nth(MANY - 1).wait_for(state="attached")
    images = page.locator("#grid img").evaluate_all("(all) => all.map((one) => one.src.split(':')[0])")
    assert images == ["blob"] * MANY
    whole = re.compile(r"/whole$|/api/pictures/[0-9a-f]{64}$")
    assert not [one for one in asked if whole.search(one)]
    page.locator("#grid .picture").first.click()
    page.locator(".layer.over img[src$=whole]:only-child").wait_for()
    assert len([one for one in asked if one.endswith("/whole")]) == 1


def test_equal_candidates_stay_in_order_of_proposal_whatever_the_order_of_arrival(open_page: Open) -> None:
    ranked = open_page().evaluate(
        """async (names) => {
          const { SearchModel } = await import("/static/model.js"), { Weighing } = await import("/static/weigh.js");
          const scorers = [{ name: "identity", weight: 1 }], state = "SEARCH_STATE_RUNNING";
          const model = new SearchModel({ state, request: { scorers } });
          names.forEach((name, place) => model.add({ sequence: place + 1, candidate_scored: { candidate_id: name,
            picture: { artifact: name }, evaluation: { scores: [{ scorer: "identity", value: 0 }] } } }));
          return new Weighing(model, () => {}).ranked().map((entry) => entry.one.id);
        }""",
        ["g10-000", "g0-1000", "g2-000", "g0-002", "g0-000", "g0-999"],
    )
    assert ranked == ["g0-000", "g0-002", "g0-999", "g0-1000", "g2-000", "g10-000"]


def test_what_is_chosen_is_asked_for(open_page: Open, keyed: str, tmp_path: Path) -> None:
    page = signed_in(open_page)
    with Client(keyed, api_key=CAROL) as client:
        most = client.capabilities().limits.upload_bytes
    (tmp_path / "text.png").write_text("no picture")
    with (tmp_path / "huge.png").open("wb") as huge:
        huge.truncate(most + 1)
    for name, said in (("text", "This file is not a PNG"), ("huge", f"at most {most >> 20} MiB are accepted")):
        page.locator("#file-scene").set_input_files(tmp_path / f"{name}.png")
        page.locator(".toast", has_text=said).wait_for()
    for name, hue in (("scene", 10), ("character", 100), ("friend", 60)):
        (tmp_path / f"{name}.png").write_bytes(picture(hue))
    for name in ("scene", "character"):
        page.locator(f"#file-{name}").set_input_files(tmp_path / f"{name}.png")
        page.locator(f"[data-slot={name}] .face").wait_for()
    page.locator("#prompt").fill("smile")
    start = page.get_by_role("button", name="Start")
    page.locator("#face-by-scene").select_option("box")
    assert start.is_disabled()
    layer = page.locator("[data-slot=scene] .box-layer").bounding_box()
    page.mouse.move(layer["x"] + 0.1 * layer["width"], layer["y"] + 0.2 * layer["height"])
    page.mouse.down()
    page.mouse.move(layer["x"] + 0.8 * layer["width"], layer["y"] + 0.9 * layer["height"], steps=3)
    page.mouse.up()
    assert start.is_enabled()
    page.get_by_label("right edge of the box in the scene").fill("100")
    page.locator("#face-by-character").select_option("likeness")
    assert start.is_disabled()
    page.locator("[data-list='character_face.likeness'] input").set_input_files(tmp_path / "friend.png")
    page.get_by_role("button", name="Remove picture 1 of whom").wait_for()
    page.get_by_text("More settings").click()
    page.locator("#prior").select_option("given")
    page.get_by_text("Still needed: the picture to begin from.").wait_for()
    page.locator("[data-list='prior.given'] input").set_input_files(tmp_path / "scene.png")
    page.get_by_role("button", name="Remove picture 1 of the picture").wait_for()
    page.locator("#scalarization").select_option("geometric mean")
    page.locator("#missing-scores").select_option("do not rank it")
    page.locator("#size").fill("2")
    page.locator("#labels").fill("shot")
    page.get_by_text("Still needed: labels as KEY=VALUE.").wait_for()
    page.locator("#labels").fill("shot=a=b")
    page.locator("[id='sampler.steps']").fill("9999")
    start.click()
    page.get_by_text("sampler, steps is 9999").wait_for()
    page.locator("[id='sampler.steps'][aria-invalid=true]").fill("3")
    start.click()
    page.wait_for_url(re.compile(r"/searches/[0-9a-f]{32}$"))
    with Client(keyed, api_key=CAROL) as client:
        asked = client.get(page.url.rpartition("/")[2]).request
        assert client.download(asked.character_face.likeness.artifact) == picture(60)
        assert client.download(asked.prior.given.artifact) == picture(10)
    assert dict(asked.labels) == {"shot": "a=b"}
    box = asked.scene_face.box
    assert box.right == 100
    assert (box.left, box.top, box.bottom) == pytest.approx((12.8, 25.6, 115.2), abs=1.5)
    assert asked.scalarization == v1.SCALARIZATION_GEOMETRIC_MEAN
    assert asked.missing_scores == v1.MISSING_SCORES_DROP
    assert [(one.name, one.weight) for one in asked.scorers] == [("brightness", 0.75), ("other", 0.25)]


def test_a_search_like_another_asks_for_the_same(open_page: Open, keyed: str) -> None:
    request = v1.RunSearchRequest(
        scene=v1.Image(data=picture(10)),
        character=v1.Image(data=picture(100)),
        prompt="smile",
        negative_prompt="blur",
        sampler=v1.SamplerSettings(steps=3, true_cfg_scale=2.5, character_as_reference=True),
        search=v1.SearchSettings(
            eacps_adaptive={"trajectories": 5, "crossover": False},
            low_diversity=v1.LOW_DIVERSITY_STOP,
            micro_batch=2,
            avoided_seeds=[7, 8],
            random_seed=1,
        ),
        scorers=[
            v1.ScorerSettings(name="brightness", weight=0.5, floor=0.25),
            v1.ScorerSettings(name="other", held_out=True),
        ],
        scene_face=v1.FaceSelector(box=v1.Box(left=10, top=10, right=110, bottom=110)),
        character_face=v1.FaceSelector(likeness=v1.Image(data=picture(60))),
        more_characters=[v1.Image(data=picture(101))],
        framing=v1.FRAMING_WHOLE,
        prior=v1.PriorSettings(given=v1.Image(data=picture(10))),
        budget={"denoiser_evaluations": 1000, "pictures": 50, "wall_time": {"seconds": 90}},
        scalarization=v1.SCALARIZATION_RANK_SUM,
        missing_scores=v1.MISSING_SCORES_DROP,
        labels={"shot": "like 1"},
        priority=7,
    )
    with Client(keyed, api_key=CAROL) as client:
        search_id = client.submit(request).search_id
        page = signed_in(open_page, f"/?from={search_id}")
        page.get_by_text("More settings").click()
        page.get_by_text("As in the search before: crossover, low diversity, avoided seeds, character").wait_for()
        page.locator("[data-slot=character] .face").wait_for()
        page.get_by_role("button", name="Start").click()
        page.wait_for_url(re.compile(r"/searches/[0-9a-f]{32}$"))
        before, after = (client.get(one).request for one in (search_id, page.url.rpartition("/")[2]))
    assert after.request_id
    for one in (before, after):
        one.ClearField("request_id")
        one.search.ClearField("random_seed")
    assert after == before


def test_a_batch_is_followed_and_tried_again(open_page: Open, keyed: str, tmp_path: Path) -> None:
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
    with Client(keyed, api_key=CAROL) as client:
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
