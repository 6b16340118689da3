"""The commands over searches that a server keeps, as a person would call them."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from eacps.cli.live import LiveView
from eacps.cli.search_table import search_table
from eacps.client import v1

Eacps = Callable[..., Any]
SMALL = ("--global-candidates", 4, "--parents", 1, "--children", 2, "--seed", 5)


@pytest.fixture
def submitted(eacps: Eacps, toy: str, pictures: tuple[str, str]) -> str:
    """Id of a small search that a server was asked for."""
    done = eacps("submit", *pictures, "--prompt", "smile", *SMALL, "--server", toy, "--label", "of=test")
    assert done.exit_code == 0, done.stderr
    search_id: str = done.stdout.strip()
    assert len(search_id) == 32
    return search_id


def test_watch_writes_the_result(eacps: Eacps, toy: str, submitted: str, tmp_path: Path) -> None:
    done = eacps("watch", submitted, "--server", toy, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["search_id"] == submitted
    assert len(result["candidates"]) == 6
    assert (tmp_path / "out" / "contact_sheet.png").exists()


def test_list_cancel_delete(eacps: Eacps, toy: str, submitted: str, tmp_path: Path) -> None:
    eacps("watch", submitted, "--server", toy, "--out", tmp_path)
    listed = json.loads(eacps("list", "--server", toy, "--label", "of=test", "--state", "succeeded", "--json").stdout)
    assert submitted in [search["search_id"] for search in listed]
    assert submitted[:12] in eacps("list", "--server", toy).stdout
    assert eacps("cancel", submitted, "--server", toy).stdout.strip() == "succeeded"
    assert eacps("delete", submitted, "--server", toy).exit_code == 0
    gone = eacps("cancel", submitted, "--server", toy, "--json")
    assert gone.exit_code == 2
    assert json.loads(gone.stdout)["error"]["code"] == "NOT_FOUND"


def test_download_render_score(
    eacps: Eacps, toy: str, submitted: str, pictures: tuple[str, str], tmp_path: Path
) -> None:
    result = json.loads(eacps("watch", submitted, "--server", toy, "--out", tmp_path, "--json").stdout)
    again = tmp_path / "again.png"
    done = eacps("render", submitted, result["best"]["id"], again, "--server", toy)
    assert done.exit_code == 0, done.stderr
    with Image.open(again) as made, Image.open(tmp_path / "best.png") as best:
        assert made.tobytes() == best.tobytes()
    none = eacps("render", submitted, "nobody", again, "--server", toy, "--overwrite")
    assert none.exit_code == 2
    assert "no candidate nobody" in none.stderr
    scored = eacps("score", *pictures, again, tmp_path / "best.png", "--prompt", "smile", "--server", toy, "--json")
    evaluations = json.loads(scored.stdout)["evaluations"]
    assert evaluations[0] == evaluations[1]
    table = eacps("score", *pictures, again, "--prompt", "smile", "--server", toy)
    assert "again.png" in table.stdout


def test_the_list_fits_eighty_columns_and_says_what_was_asked_for(
    eacps: Eacps, toy: str, submitted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eacps("watch", submitted, "--server", toy, "--out", tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    listed = json.loads(eacps("list", "--server", toy, "--json").stdout)
    (one,) = (search for search in listed if search["search_id"] == submitted)
    lines = eacps("list", "--server", toy).stdout.splitlines()
    (line,) = (line for line in lines if line.startswith(submitted[:12]))
    assert line.split()[:3] == [submitted[:12], "succeeded", f"{one['best_potential']:.3f}"]
    assert "smile" in line
    assert max(len(line.rstrip()) for line in lines) <= 120, "what is redirected has room for more"


def test_nothing_is_overwritten_without_a_word(eacps: Eacps, toy: str, submitted: str, tmp_path: Path) -> None:
    out, picture = tmp_path / "out", tmp_path / "scene.png"
    assert eacps("watch", submitted, "--server", toy, "--out", out).exit_code == 0
    before, artifact = (out / "best.png").read_bytes(), json.loads((out / "result.json").read_text())["best"]
    for words in (
        ("watch", submitted, "--out", out),
        ("download", "0" * 64, picture),
        ("render", submitted, "g0-000", picture),
    ):
        refused = eacps(*words, "--server", toy)
        assert refused.exit_code == 2
        assert "--overwrite" in refused.stderr
    assert (out / "best.png").read_bytes() == before
    assert artifact
    assert eacps("watch", submitted, "--server", toy, "--out", out, "--overwrite").exit_code == 0


def test_the_same_request_id_is_the_same_search(eacps: Eacps, toy: str, pictures: tuple[str, str]) -> None:
    words = ("submit", *pictures, "--prompt", "smile", *SMALL, "--server", toy, "--request-id", "take-7")
    assert eacps(*words).stdout == eacps(*words).stdout


def test_what_is_malformed_is_said(eacps: Eacps, toy: str, pictures: tuple[str, str]) -> None:
    done = eacps("submit", *pictures, "--prompt", "smile", "--server", toy, "--label", "novalue")
    assert done.exit_code == 2
    assert "KEY=VALUE" in done.stderr
    done = eacps("download", "0" * 64, "nowhere.png", "--server", toy)
    assert done.exit_code == 2


def test_a_queued_search_is_shown_with_its_position() -> None:
    queued = v1.Search(search_id="a" * 32, state=v1.SEARCH_STATE_QUEUED, queue_position=3)
    running = v1.Search(search_id="b" * 32, state=v1.SEARCH_STATE_RUNNING)
    text = StringIO()
    shown = Console(file=text, width=80)
    shown.print(search_table([queued, running], now_s=0.0))
    with LiveView(shown) as view:
        for search in (queued, running):
            view.show_queued(search)
    lines = text.getvalue().splitlines()
    assert "queued 3" in lines[1]
    assert "running" in lines[2]
    assert lines[3:] == ["queued: number 3 of your searches"]
