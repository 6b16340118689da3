"""``eacps pick`` and ``eacps rank`` over a real search server, and ids by their beginning."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Eacps = Callable[..., Any]


@pytest.fixture
def finished(eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path) -> dict[str, Any]:
    """The result of a search that a server keeps."""
    small = ("--global-candidates", 4, "--parents", 1, "--children", 2, "--seed", 5)
    search_id = eacps("submit", *pictures, "--prompt", "smile", *small, "--server", toy).stdout.strip()
    watched = eacps("watch", search_id, "--server", toy, "--out", tmp_path / "watched", "--json")
    result: dict[str, Any] = json.loads(watched.stdout)
    return result


def test_a_candidate_is_picked_by_the_beginning_of_its_searchs_id(
    eacps: Eacps, toy: str, finished: dict[str, Any], tmp_path: Path
) -> None:
    out, short = tmp_path / "picked.png", finished["search_id"][:12]
    for name in (finished["best"]["id"], "best"):
        done = eacps("pick", short, name, out, "--server", toy, "--overwrite")
        assert done.exit_code == 0, done.stderr
        with Image.open(out) as picked, Image.open(tmp_path / "watched" / "best.png") as best:
            assert picked.tobytes() == best.tobytes()
    refused = eacps("pick", short, "best", out, "--server", toy)
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    unknown = eacps("pick", short, "g7-000", tmp_path / "no.png", "--server", toy)
    assert unknown.exit_code == 2
    assert "g7-000" in unknown.stderr


def test_all_candidates_are_picked_by_rank(eacps: Eacps, toy: str, finished: dict[str, Any], tmp_path: Path) -> None:
    done = eacps("pick", finished["search_id"], "--all", tmp_path / "all", "--server", toy)
    assert done.exit_code == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "all").iterdir())
    ranked = sorted(finished["candidates"], key=lambda one: -one["evaluation"]["potential"])
    assert names == [f"{rank}_{one['id']}.png" for rank, one in enumerate(ranked, start=1)]
    assert eacps("pick", finished["search_id"], "--server", toy).exit_code == 2


@pytest.mark.parametrize("suffix", [".tif", ".exr"])
def test_a_file_in_another_format_of_a_candidate_is_no_reason_to_write_some_of_all(
    eacps: Eacps, toy: str, finished: dict[str, Any], tmp_path: Path, suffix: str
) -> None:
    (tmp_path / "all").mkdir()
    theirs = tmp_path / "all" / f"2_{sorted_ids(finished)[1]}{suffix}"
    theirs.write_bytes(b"precious")
    refused = eacps("pick", finished["search_id"], "--all", tmp_path / "all", "--server", toy)
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert list((tmp_path / "all").iterdir()) == [theirs]


@pytest.mark.parametrize("name", ["best.png", "best_matte.exr", "contact_sheet.png", "search.png"])
def test_a_picture_in_the_folder_of_a_result_to_be_is_kept(
    eacps: Eacps, toy: str, finished: dict[str, Any], tmp_path: Path, name: str
) -> None:
    out = tmp_path / "other"
    out.mkdir()
    (out / name).write_bytes(b"precious")
    refused = eacps("watch", finished["search_id"], "--server", toy, "--out", out)
    assert refused.exit_code == 2
    assert name in refused.stderr.replace("\n", "")
    assert (out / name).read_bytes() == b"precious"
    assert list(out.iterdir()) == [out / name]


def sorted_ids(result: dict[str, Any]) -> list[str]:
    return [one["id"] for one in sorted(result["candidates"], key=lambda one: -one["evaluation"]["potential"])]


def test_a_ranking_fits_eighty_columns_and_says_what_has_moved(
    eacps: Eacps, toy: str, finished: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = ("rank", finished["search_id"][:8], "--server", toy, "--weight", "other=1")
    done = eacps(*words)
    assert done.exit_code == 0, done.stderr
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= 80
    ranked = json.loads(eacps(*words, "--json").stdout)["candidates"]
    others = [next(s["value"] for s in one["evaluation"]["scores"] if s["scorer"] == "other") for one in ranked]
    assert others == sorted(others, reverse=True)
    assert [one["candidate_id"] for one in ranked] == [
        line.split()[1] for line in done.stdout.splitlines() if line.split()[0].isdecimal()
    ]


def test_an_id_that_is_of_none_or_of_several_is_refused(eacps: Eacps, toy: str, finished: dict[str, Any]) -> None:
    for wrong, said in (("zzzz", "no search"), ("ab", "too short")):
        refused = eacps("rank", wrong, "--server", toy)
        assert refused.exit_code == 2
        assert said in refused.stderr
