"""``eacps batch`` over a real search server: every shot once, whatever interrupts it."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from eacps.cli.outcome import CommandFailed
from eacps.cli.shot_list import ShotList
from eacps.client import Batch, BatchRunning, Client, InvalidBatch, Shot, v1
from eacps.client.batch_lock import alone_in
from eacps.testing import ToyModels
from eacps.wire import images_in
from tests.cli.conftest import toy_server
from tests.cli.searches import picture

Eacps = Callable[..., Any]
SMALL = {"global-candidates": "4", "parents": "1", "children": "2", "seed": "5"}
NOWHERE = "127.0.0.1:1"
LIMIT_S = 60


@pytest.fixture
def address() -> Iterator[str]:
    """Address of a server of this test alone."""
    with toy_server() as server:
        yield server


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list of ten shots of one character."""
    return listed_in(tmp_path)


def listed_in(folder: Path, count: int = 10) -> Path:
    (folder / "anna.png").write_bytes(picture(100))
    rows = []
    for number in range(count):
        (folder / f"s{number:02}.png").write_bytes(picture(20 * number))
        rows.append({"shot": f"s{number:02}", "scene": f"s{number:02}.png", "character": "anna.png", **SMALL})
    path = folder / "shots.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "prompt", "label.show"])
        writer.writeheader()
        writer.writerows({**row, "prompt": "make the person smile", "label.show": "x"} for row in rows)
    return path


def decoded(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def searches_on(address: str) -> list[v1.Search]:
    with Client(address) as client:
        return list(client.list())


def test_ten_shots_are_searched_once_however_often_the_batch_is_run(
    eacps: Eacps, address: str, listed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "finals"
    words = ("batch", listed, "--out", out, "--name", "{shot}/{candidate}.png")
    done = eacps(*words, "--server", address)
    assert done.exit_code == 0, done.stderr
    assert "10 of 10 shots" in done.stdout
    pictures = sorted(out.glob("*/*.png"))
    assert [path.parent.name for path in pictures] == [f"s{number:02}" for number in range(10)]
    with Image.open(pictures[0]) as first:
        assert first.size == (128, 128)
    found = searches_on(address)
    assert sorted(dict(search.labels)["shot"] for search in found) == [f"s{number:02}" for number in range(10)]
    assert {dict(search.labels)["show"] for search in found} == {"x"}
    by_shot = {dict(search.labels)["shot"]: search for search in found}
    priorities = [by_shot[f"s{number:02}"].priority for number in range(10)]
    assert priorities == sorted(set(priorities)), "the oldest shots go first"
    again = eacps(*words, "--server", NOWHERE)
    assert again.exit_code == 0, "all of it is there: no server is asked"
    (out / "batch.jsonl").unlink()
    assert eacps(*words, "--server", address).exit_code == 0
    assert len(searches_on(address)) == 10, "the server knows them by their content"


def test_the_table_of_results_has_every_candidate_with_scores_and_recipe(
    eacps: Eacps, address: str, tmp_path: Path
) -> None:
    out = tmp_path / "finals"
    assert eacps("batch", listed_in(tmp_path, 2), "--out", out, "--server", address).exit_code == 0
    rows = pyarrow.parquet.read_table(out / "results.parquet").to_pylist()
    assert [(row["shot"], row["rank"]) for row in rows] == [(f"s0{n}", rank) for n in (0, 1) for rank in range(1, 7)]
    for row in rows:
        weighted = 0.75 * row["score.brightness"] + 0.25 * row["score.other"]
        assert row["potential"] == pytest.approx(weighted)
        assert sum(term["coefficient"] ** 2 for term in row["recipe"]) == pytest.approx(1.0)
        assert bool(row["file"]) == (row["rank"] == 1)
    assert rows[0]["file"] == f"s00_{rows[0]['candidate']}.png"
    with Client(address) as client:
        assert decoded(client.download(rows[3]["artifact"])).size == (32, 32)


def test_all_faults_of_all_rows_are_named_before_anything_runs(
    eacps: Eacps, address: str, listed: Path, tmp_path: Path
) -> None:
    rows = list(csv.DictReader(listed.read_text().splitlines()))
    rows[1]["global-candidates"] = "many"
    rows[3]["scene"] = "absent.png"
    rows[4]["shot"] = rows[5]["shot"]

    def run() -> Any:
        listed.write_text("\n".join(json.dumps(row) for row in rows))
        return eacps("batch", listed.rename(tmp_path / "shots.jsonl"), "--out", tmp_path / "o", "--server", address)

    refused = run()
    assert refused.exit_code == 2
    assert "row 2" in refused.stderr
    assert "--global-candidates" in refused.stderr
    assert "row 4" in refused.stderr
    assert "absent.png" in refused.stderr
    rows[1]["global-candidates"], rows[3]["scene"] = "4", "s03.png"
    refused = run()
    assert refused.exit_code == 2
    assert "is the name of two shots" in refused.stderr
    rows[4]["shot"], rows[7]["angle"] = "s04", "9"
    (tmp_path / "s08.png").write_bytes(b"no picture")
    refused = run()
    assert refused.exit_code == 2
    assert "s08: scene" in refused.stderr
    assert "s07: search.eacps.spherical.angle" in refused.stderr
    assert not searches_on(address)


def test_all_kinds_of_lists_say_the_same(eacps: Eacps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from eacps.cli.shot_list import ShotList

    monkeypatch.chdir(tmp_path)
    path = listed_in(tmp_path, 3)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    for row in rows:
        row["weight"] = "brightness=1;other=2"
    (tmp_path / "a.csv").write_text(";".join(rows[0]) + "\n", encoding="utf-8-sig")
    with (tmp_path / "a.csv").open("a") as file:
        csv.DictWriter(file, rows[0].keys(), delimiter=";").writerows(rows)
    typed = [{**row, "parents": 1, "weight": ["brightness=1", "other=2"]} for row in rows]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in typed))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(typed), tmp_path / "a.parquet")
    for number in range(3):
        (tmp_path / "plates" / f"s{number:02}").mkdir(parents=True)

        (tmp_path / "plates" / f"s{number:02}" / "scene.png").write_bytes((tmp_path / f"s{number:02}.png").read_bytes())
        (tmp_path / "plates" / f"s{number:02}" / "prompt.txt").write_text("make the person smile\n")
    keys = {
        name: [shot.key for shot in ShotList(tmp_path / name, "", {}).shots()]
        for name in ("a.csv", "a.jsonl", "a.parquet")
    }
    defaults = {"character": "../anna.png", "prompt": "@{shot}/prompt.txt", "weight": "brightness=1;other=2", **SMALL}
    keys["plates"] = [shot.key for shot in ShotList(Path("plates"), "{shot}/scene.png", defaults).shots()]
    assert keys["a.csv"] == keys["a.jsonl"] == keys["a.parquet"] == keys["plates"]
    assert len(set(keys["plates"])) == 3


def test_what_failed_is_said_with_its_reason_and_is_tried_again(eacps: Eacps, tmp_path: Path) -> None:
    out = tmp_path / "finals"
    words = ("batch", listed_in(tmp_path, 2), "--out", out, "--json")
    with toy_server(models=ToyModels(sees_faces=False)) as blind:
        failed = eacps(*words, "--server", blind)
    assert failed.exit_code == 2
    said = [json.loads(line) for line in failed.stdout.splitlines()]
    assert [one["reason"] for one in said[0]] == ["NO_FACE_FOUND"] * 2
    rows = pyarrow.parquet.read_table(out / "results.parquet").to_pylist()
    assert ["face" in row["failure"] for row in rows] == [True, True]
    with toy_server() as server:
        assert eacps(*words, "--server", server).exit_code == 0
    assert len(list(out.glob("*.png"))) == 2


def test_a_file_that_is_not_the_batchs_own_is_kept(eacps: Eacps, address: str, tmp_path: Path) -> None:
    out = tmp_path / "finals"
    out.mkdir()
    (out / "s00.png").write_bytes(b"precious")
    words = ("batch", listed_in(tmp_path, 2), "--out", out, "--name", "{shot}.png", "--server", address)
    refused = eacps(*words)
    assert refused.exit_code == 2
    assert "exists with another content" in refused.stdout
    assert (out / "s00.png").read_bytes() == b"precious"
    assert (out / "s01.png").is_file(), "the others are done"
    (out / "s01.png").write_bytes(b"painted over since")
    assert eacps(*words, "--overwrite").exit_code == 0
    assert (out / "s00.png").read_bytes() != b"precious"
    assert (out / "s01.png").read_bytes() == b"painted over since", "it was delivered, and is nobody else's to replace"
    assert len(searches_on(address)) == 2


def test_two_batches_in_one_folder_are_refused(eacps: Eacps, address: str, tmp_path: Path) -> None:
    out = tmp_path / "finals"
    words = ("batch", listed_in(tmp_path, 1), "--out", out, "--server", address)
    with alone_in(out):
        refused = eacps(*words)
    assert refused.exit_code == 2
    assert f"another batch is running in {out}" in refused.stderr.replace("\n", "")
    assert not searches_on(address)
    assert eacps(*words).exit_code == 0


def test_a_folder_that_a_killed_batch_held_is_free(tmp_path: Path) -> None:
    hold = (
        "import sys, time, pathlib; from eacps.client.batch_lock import alone_in\n"
        "with alone_in(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BatchRunning), alone_in(tmp_path):
            pass
        process.kill()
    with alone_in(tmp_path):
        pass


def test_a_table_that_no_batch_wrote_is_kept(eacps: Eacps, address: str, tmp_path: Path) -> None:
    out = tmp_path / "finals"
    out.mkdir()
    theirs = pyarrow.Table.from_pylist([{"shot": "precious"}])
    pyarrow.parquet.write_table(theirs, out / "results.parquet")
    words = ("batch", listed_in(tmp_path, 1), "--out", out, "--server", address)
    refused = eacps(*words)
    assert refused.exit_code == 2
    assert "results.parquet exists" in refused.stderr.replace("\n", " ")
    assert pyarrow.parquet.read_table(out / "results.parquet") == theirs
    assert not searches_on(address), "said before anything runs"
    assert eacps(*words, "--overwrite").exit_code == 0
    assert eacps(*words).exit_code == 0, "now it is the batch's own"


def test_the_table_keeps_the_shots_of_other_lists_in_the_folder(eacps: Eacps, address: str, tmp_path: Path) -> None:
    out, path = tmp_path / "finals", listed_in(tmp_path, 3)
    lines = path.read_text().splitlines()
    for chosen in (lines[:3], [lines[0], lines[3]]):
        path.write_text("\n".join(chosen))
        assert eacps("batch", path, "--out", out, "--server", address).exit_code == 0
    rows = pyarrow.parquet.read_table(out / "results.parquet").to_pylist()
    assert sorted({row["shot"] for row in rows}) == ["s00", "s01", "s02"]


@pytest.mark.parametrize(("one", "other"), [("Anna", "anna"), ("caf\u00e9", "cafe\u0301"), ("Straße", "STRASSE")])
def test_shots_whose_files_would_be_one_on_another_system_are_refused(
    eacps: Eacps, address: str, tmp_path: Path, one: str, other: str
) -> None:
    path = listed_in(tmp_path, 2)
    path.write_text(path.read_text().replace("s00,", f"{one},", 1).replace("s01,", f"{other},", 1))
    refused = eacps("batch", path, "--out", tmp_path / "o", "--server", address)
    assert refused.exit_code == 2
    assert "macOS and Windows" in refused.stderr
    assert not searches_on(address)


@pytest.mark.parametrize("choice", ["leave", "cancel"])
def test_interrupted_at_any_moment_it_goes_on_where_it_was(eacps: Eacps, tmp_path: Path, choice: str) -> None:
    path, out = listed_in(tmp_path, 4), tmp_path / "finals"
    with toy_server(models=ToyModels(0.3)) as server:
        command = [sys.executable, "-m", "eacps", "batch", path, "--out", out, "--server", server]
        process = subprocess.Popen(
            [*command, "--on-interrupt", choice], stderr=subprocess.PIPE, env=os.environ | {"COLUMNS": "80"}, text=True
        )
        wait_for(lambda: len(searches_on(server)) == 4)
        wait_for(lambda: any(one.state == v1.SEARCH_STATE_RUNNING for one in searches_on(server)))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 130, said
        assert ("cancelled" if choice == "cancel" else "left running") in said
        if choice == "cancel":
            assert not any(
                one.state in (v1.SEARCH_STATE_QUEUED, v1.SEARCH_STATE_RUNNING) for one in searches_on(server)
            )
        assert eacps("batch", path, "--out", out, "--server", server).exit_code == 0
        found = searches_on(server)
    assert len(list(out.glob("*.png"))) == 4
    succeeded = [one for one in found if one.state == v1.SEARCH_STATE_SUCCEEDED]
    assert len(succeeded) == 4
    if choice == "leave":
        assert len(found) == 4, "each was asked for once"


def test_more_candidates_of_a_shot_are_written_on_request(eacps: Eacps, address: str, tmp_path: Path) -> None:
    out = tmp_path / "finals"
    words = ("batch", listed_in(tmp_path, 1), "--out", out, "--server", address)
    assert eacps(*words).exit_code == 0
    (first,) = out.glob("*.png")
    before = first.read_bytes()
    assert eacps(*words, "--top", 3).exit_code == 0
    assert len(list(out.glob("*.png"))) == 3
    assert first.read_bytes() == before
    assert len(searches_on(address)) == 1
    refused = eacps(*words, "--top", 2, "--name", "{shot}.png")
    assert refused.exit_code == 2
    assert "{candidate}" in refused.stderr


def test_the_same_from_python(address: str, tmp_path: Path) -> None:
    request = v1.RunSearchRequest(
        scene=v1.Image(data=picture(10)),
        character=v1.Image(data=picture(100)),
        prompt="make the person smile",
        search=v1.SearchSettings(eacps={"global_candidates": 2, "local_rounds": 0}),
    )
    with Client(address) as client:
        (entry,) = Batch(client, [Shot("12a", request)], tmp_path).run()
        assert entry.state == "succeeded"
        assert (tmp_path / entry.files[entry.best]).read_bytes() == client.download(entry.delivered)
        assert Batch(client, [Shot("12a", request)], tmp_path).run() == [entry]


def test_what_the_server_has_no_more_is_searched_again_and_keeps_nobody_waiting(
    eacps: Eacps, address: str, tmp_path: Path
) -> None:
    out = tmp_path / "finals"
    words = ("batch", listed_in(tmp_path, 2), "--out", out, "--top", 2, "--server", address)
    assert eacps(*words).exit_code == 0
    with Client(address) as client:
        (gone,) = [search for search in client.list() if dict(search.labels)["shot"] == "s00"]
        client.delete(gone.search_id)
    for file in out.glob("*.png"):
        file.unlink()
    refused = eacps(*words)
    assert refused.exit_code == 2
    assert "s00" in refused.stdout
    assert len(list(out.glob("s01_*.png"))) == 2, "the others are done"
    assert eacps(*words).exit_code == 0
    assert len(list(out.glob("s00_*.png"))) == 2


def test_a_list_holds_no_pictures_and_uploads_them_from_their_files(eacps: Eacps, address: str, tmp_path: Path) -> None:
    path = listed_in(tmp_path, 3)
    shots = ShotList(path, "", {}).shots()
    assert not any(image.data for shot in shots for _, image in images_in(shot.request))
    assert [sorted(file.name for file in shot.files.values()) for shot in shots] == [
        ["anna.png", f"s0{number}.png"] for number in range(3)
    ]
    with Client(address) as client:
        (tmp_path / "s02.png").write_bytes(picture(77))
        with pytest.raises(InvalidBatch, match=r"s02: scene .*s02.png has changed"):
            Batch(client, shots, tmp_path / "out").run()
        assert not searches_on(address)
        done = Batch(client, ShotList(path, "", {}).shots(), tmp_path / "out").run()
    assert [entry.state for entry in done] == ["succeeded"] * 3


@pytest.mark.parametrize(
    ("line", "message"),
    [("a,a.png,b.png,a man, smiling", "more cells than the header"), ("a,a.png,b.png,a man", "")],
)
def test_a_row_with_more_cells_than_the_header_is_no_row(tmp_path: Path, line: str, message: str) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(picture(1))
    path = tmp_path / "shots.csv"
    path.write_text(f"shot,scene,character,prompt\n{line}\n")
    if not message:
        assert [shot.request.prompt for shot in ShotList(path, "", {}).shots()] == ["a man"]
        return
    with pytest.raises(CommandFailed, match=message):
        ShotList(path, "", {}).shots()


def test_a_default_is_read_only_where_a_row_needs_it(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(picture(1))
    path = tmp_path / "shots.csv"
    path.write_text("shot,scene,character,prompt\na,a.png,b.png,smile\n")
    (shot,) = ShotList(path, "", {"prompt": "@{shot}.txt"}).shots()
    assert shot.request.prompt == "smile"


def wait_for(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.02)
