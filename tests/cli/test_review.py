"""``eacps review`` in a headless Chromium: what a person sees there is what the server says."""

import csv
import io
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eacps.client import Client, v1
from eacps.search.objective import MissingPolicy, Objective, Scalarization
from eacps.search.potential import ScoreCard, Weights
from tests.cli.searches import picture

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the page is not opened: pip install playwright", exc_type=ImportError
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="THE REVIEW PAGE IS NOT OPENED: no Chromium here; apt-get install chromium"
)
Eacps = Callable[..., Any]
SCORERS = ("brightness", "other")


@pytest.fixture(scope="session")
def eacps() -> Eacps:
    """Runs a command in a process of its own: Playwright keeps an event loop running in this one."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "eacps", *(str(word) for word in words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def search_id(eacps: Eacps, toy: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished search of twelve candidates."""
    pictures = [tmp_path_factory.mktemp("pictures") / name for name in ("scene.png", "character.png")]
    for file, hue in zip(pictures, (10, 100), strict=True):
        file.write_bytes(picture(hue))
    sizes = ("--global-candidates", 8, "--parents", 2, "--children", 2, "--seed", 5)
    found: str = eacps(
        "submit", *pictures, "--prompt", "</script> make <b>her</b> smile", *sizes, "--server", toy
    ).stdout.strip()
    with Client(toy) as client:
        for _ in client.watch(found):
            pass
    return found


@pytest.fixture(scope="module")
def file(eacps: Eacps, toy: str, search_id: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the search."""
    out = tmp_path_factory.mktemp("review") / "review.html"
    done = eacps("review", search_id[:10], "--out", out, "--server", toy)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def page(file: Path, browser: Any) -> Iterator[Any]:
    """The page, open, offline; any error on it, and any request to a network, fails the test."""
    context = browser.new_context(offline=True, accept_downloads=True, viewport={"width": 1400, "height": 1000})
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.on(
        "request",
        lambda request: errors.append(request.url) if not request.url.startswith(("file:", "data:", "blob:")) else None,
    )
    opened.goto(file.as_uri())
    yield opened
    assert errors == []
    context.close()


def ranked_by(page: Any, weights: dict[str, float], floors: dict[str, float], method: str) -> list[list[Any]]:
    found: list[list[Any]] = page.evaluate(
        "([weights, floors, method]) => objective.rank(search.candidates, weights, floors, method)"
        ".map((entry) => [entry.one.id, entry.potential.value, entry.potential.shortfall])",
        [weights, floors, method],
    )
    return found


@pytest.mark.parametrize("method", ["weighted_sum", "geometric_mean", "rank_sum"])
def test_its_arithmetic_is_the_servers(page: Any, toy: str, search_id: str, method: str) -> None:
    with Client(toy) as client:
        for brightness, floor in itertools.product((0.0, 0.3, 1.0), (0.0, 0.45)):
            weights = {"brightness": brightness, "other": 0.7}
            floors = {"other": floor} if floor else {}
            request = v1.RankCandidatesRequest(
                search_id=search_id,
                scorers=[
                    v1.ScorerSettings(name=name, weight=weights[name], floor=floors.get(name)) for name in SCORERS
                ],
                scalarization=v1.Scalarization.Value(f"SCALARIZATION_{method.upper()}"),
            )
            answered = client.rank(request).candidates
            shown = ranked_by(page, weights, floors, method)
            assert [one[0] for one in shown] == [one.candidate_id for one in answered]
            for (_, value, shortfall), one in zip(shown, answered, strict=True):
                assert value == pytest.approx(one.evaluation.potential, abs=1e-12)
                assert shortfall == pytest.approx(one.evaluation.shortfall, abs=1e-12)


def test_missing_scores_and_ties_are_ranked_as_the_search_core_ranks_them(page: Any) -> None:
    score = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0.0, 1.0)
    cards = st.lists(st.dictionaries(st.sampled_from("abc"), score, min_size=1), min_size=1, max_size=8)
    weights = st.fixed_dictionaries({name: st.sampled_from([0.0, 0.25, 0.5, 1.0]) for name in "abc"})

    @settings(max_examples=60, deadline=None)
    @given(cards, weights, st.sampled_from([None, 0.5]), st.sampled_from(list(Scalarization)), st.booleans())
    def agree(
        known: list[dict[str, float]], raw: dict[str, float], floor: float | None, method: Scalarization, drops: bool
    ) -> None:
        if not any(raw.values()):
            return
        first = max(raw, key=lambda name: raw[name])
        floors = {} if floor is None else {first: floor}
        missing = MissingPolicy.DROP if drops else MissingPolicy.LOWER_BOUND
        objective = Objective(Weights(raw), floors, method, missing=missing)
        full = [ScoreCard(card, {name: "timed out" for name in "abc" if name not in card}) for card in known]
        answered = [one for one in range(len(full)) if any(name in known[one] for name in objective.weights.normalized)]
        answered = [one for one in answered if objective.takes(objective.potential(full[one]))]
        potentials = [objective.potential(full[one]) for one in answered]
        utilities = objective.utilities(potentials)
        shown = page.evaluate(
            "([cards, weights, floors, method, drops]) =>"
            " objective.rank(cards.map((scores, id) => ({id, scores})), weights, floors, method, drops)"
            ".map((entry) => [entry.one.id, entry.utility, entry.potential.value, entry.potential.complete])",
            [known, raw, floors, method.value, drops],
        )
        by_id = {answered[place]: (utilities[place], potentials[place]) for place in range(len(answered))}
        assert sorted(one[0] for one in shown) == sorted(by_id)
        for name, utility, value, complete in shown:
            assert utility == pytest.approx(by_id[name][0], abs=1e-12)
            assert value == pytest.approx(by_id[name][1].value, abs=1e-12)
            assert complete == by_id[name][1].complete
        ordered = [by_id[one[0]][0] for one in shown]
        assert all(left >= right - 1e-12 for left, right in itertools.pairwise(ordered))

    agree()


def test_a_slider_weighs_anew_and_reset_takes_it_back(page: Any) -> None:
    page.evaluate(
        "() => { search.candidates.forEach((one) => one.scores.other = 1 - one.scores.brightness); asInSearch(); }"
    )
    before = [figure.get_attribute("data-id") for figure in page.locator("#grid figure").all()]
    page.locator("input[data-weight=brightness]").fill("0")
    page.locator("input[data-weight=other]").fill("1")
    shown = [float(text) for text in page.locator("#grid .title span + span").all_inner_texts()]
    assert shown == sorted(shown, reverse=True)
    assert [figure.get_attribute("data-id") for figure in page.locator("#grid figure").all()] != before
    assert "--weight other=1" in page.locator("#command").inner_text()
    page.locator("#reset").click()
    assert [figure.get_attribute("data-id") for figure in page.locator("#grid figure").all()] == before


def test_all_candidates_are_shown_compared_and_picked(page: Any, toy: str, search_id: str) -> None:
    with Client(toy) as client:
        events = list(client.watch(search_id))
    made = {
        event.candidate_scored.candidate_id: event.candidate_scored
        for event in events
        if event.HasField("candidate_scored")
    }
    assert page.locator("h1").inner_text() == "“</script> make <b>her</b> smile”"
    images = page.locator("#grid figure img").all()
    assert len(images) == len(made) == 12
    assert all(image.evaluate("(node) => node.complete && node.naturalWidth > 0") for image in images)
    names = page.locator("#inputs figcaption").all_inner_texts()
    assert [name.split(",")[0] for name in names] == ["scene", "character", "prior", "result"]
    child = next(name for name, one in made.items() if one.parents)
    page.locator(f"#grid button[data-a='{child}']").click()
    assert page.locator("#a-name").inner_text() == f"A {child}"
    assert f"{child} ← {made[child].parents[0]}" in page.locator("#lineage").inner_text()
    page.locator("#split").fill("20")
    assert page.locator("#compare").evaluate("(node) => node.style.getPropertyValue('--split')") == "20%"
    for name in (child, "g0-000"):
        page.locator(f"button[data-pick='{name}']").click()
    with page.expect_download() as download:
        page.locator("#download").click()
    picked = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [(row["search"], row["candidate"], row["artifact"]) for row in picked] == [
        (search_id, name, made[name].picture.artifact) for name in (child, "g0-000")
    ]


def test_saturated_scores_are_marked(page: Any) -> None:
    page.evaluate("() => { search.candidates[0].saturated = ['other']; asInSearch(); }")
    assert page.locator(".bar.end").count() == 1
    assert "saturated in 1 of 12" in page.locator(".warning").inner_text()


def test_a_batch_is_one_page(eacps: Eacps, toy: str, pictures: tuple[str, str], browser: Any, tmp_path: Path) -> None:
    rows = [
        {
            "shot": f"s{number}",
            "scene": pictures[0],
            "character": pictures[1],
            "prompt": "smile",
            "seed": number,
            "global_candidates": 2,
            "rounds": 0,
        }
        for number in range(2)
    ]
    (tmp_path / "shots.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    out = tmp_path / "finals"
    assert eacps("batch", tmp_path / "shots.jsonl", "--out", out, "--server", toy).returncode == 0
    file = out / "review.html"
    assert eacps("review", out, "--out", file, "--server", toy).returncode == 0
    opened = browser.new_page()
    opened.goto(file.as_uri())
    assert opened.locator("#search option").all_inner_texts() == ["s0", "s1"]
    opened.locator("#search").select_option("1")
    assert opened.locator("#facts").inner_text().startswith("s1: search")
    opened.close()
    with Client(toy) as client:
        (gone,) = [one.search_id for one in client.list() if dict(one.labels).get("shot") == "s1"]
        client.delete(gone)
    left = eacps("review", out, "--out", file, "--overwrite", "--server", toy)
    assert left.returncode == 0, "one that was deleted keeps nobody from looking at the others"
    assert f"search {gone} is left out" in left.stderr.replace("\n", " ")
    assert eacps("review", tmp_path, "--out", tmp_path / "x.html", "--server", toy).returncode == 2
