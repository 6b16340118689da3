"""A calibration belongs to the networks it was measured with; another one is measured from pictures of people."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from eacps.scoring.score_maps import ScoreMaps
from eacps.tensors import SAMPLER
from export.calibrate import alike
from export.calibration import (
    CALIBRATION_FILE,
    BelongingCalibration,
    UnusableCalibration,
    belonging,
    calibration_for,
    digests_of_faces,
    distribution,
    read_calibration,
    write_sections,
)
from export.face_pack import find_faces
from export.inspection import inspect
from export.notices import notices
from export.people import MixedPeople, read_people
from export.plan import print_plan
from export.prepared import prepare
from export.request import ExportRequest, gather
from export.serving import config_details
from studio_mini.world.tasks import Split, task
from tests.conftest import STUDIO_ANSWERS
from tests.export.packs import arcface, scrfd

ROOT = Path(__file__).resolve().parents[2]
FIRST_TASK, PEOPLE = 60_000, 12
SECTION = {
    "positive": {"quantiles": {"0.5": 0.6, "0.95": 0.8}},
    "negative": {"quantiles": {"0.5": 0.1}},
}


def known(folder: Path, **options: Any) -> BelongingCalibration:
    prepared = prepare(gather(ExportRequest(str(folder), **options)))
    return prepared.calibration


@pytest.fixture
def other_pack(checkpoint_dir: Path, tmp_path: Path) -> Path:
    """studio-mini's pack with another recognizer, and without verifier and swapper."""
    folder = tmp_path / "pack"
    folder.mkdir()
    shutil.copy(checkpoint_dir / "faces" / "detector.onnx", folder)
    arcface(folder / "recognizer.onnx")
    return folder


def test_distributions_are_described() -> None:
    found = distribution(np.arange(101) / 100)
    assert (found["count"], found["mean"]) == (101, 0.5)
    assert found["quantiles"]["0.95"] == pytest.approx(0.95)


def test_the_checkpoints_own_networks_keep_all(checkpoint_dir: Path) -> None:
    found = known(checkpoint_dir)
    assert found.left_out == {}
    assert found.data.keys() == {"scorers", "landscape", "restarts"}
    assert found.records()["identity"].one == 0.882488


def test_what_was_measured_with_another_recognizer_is_left_out_by_name(checkpoint_dir: Path, other_pack: Path) -> None:
    prepared = prepare(gather(ExportRequest(str(checkpoint_dir), faces=str(other_pack))))
    found = prepared.calibration
    assert found.left_out["scorers.identity"] == "measured with another face_recognizer"
    assert found.left_out["scorers.identity_heldout"] == "measured with a face_verifier, which is not here"
    assert found.left_out["landscape"] == "measured with another face_recognizer"
    assert found.data["scorers"].keys() == {"realism", "prompt", "preservation"}
    records = found.records()
    assert records["identity"].reason == "measured with another face_recognizer"
    assert records["identity"].one is None
    assert (records["realism"].reason, records["landscape"].reason) == ("", "measured with another face_recognizer")
    served = json.loads(config_details(prepared, SAMPLER).parameters["calibration"])
    assert served == found.data
    assert ScoreMaps.from_calibration(served).maps.keys() == {"realism", "prompt", "preservation"}
    console = Console(record=True, width=200)
    print_plan(prepared, other_pack.parent / "output", console)
    shown = console.export_text()
    assert "calibration of identity, landscape, restarts left out: measured with another face_recognizer" in shown
    assert "identity not measured on these networks: raw cosines count" in shown


@pytest.mark.parametrize(
    ("part", "lost"),
    [
        (STUDIO_ANSWERS, {"scorers.realism", "scorers.prompt", "landscape", "restarts"}),
        ("transformer", {"landscape", "restarts"}),
        ("scheduler", {"landscape", "restarts"}),
    ],
)
def test_other_parts_of_the_checkpoint_count_too(
    checkpoint_dir: Path, tmp_path: Path, part: str, lost: set[str]
) -> None:
    copy = tmp_path / "checkpoint"
    shutil.copytree(checkpoint_dir, copy)
    changed = next((copy / part).glob("*config.json"))
    changed.write_text(changed.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert set(known(copy).left_out) == lost


def test_another_verifier_costs_its_own_scale_only(checkpoint_dir: Path, tmp_path: Path) -> None:
    verifier = arcface(tmp_path / "verifier.onnx", features=192)
    assert known(checkpoint_dir, verifier=str(verifier)).left_out == {
        "scorers.identity_heldout": "measured with another face_verifier"
    }


def test_a_file_that_does_not_say_what_it_belongs_to_belongs_to_nothing(checkpoint_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "checkpoint"
    shutil.copytree(checkpoint_dir, copy)
    data = read_calibration(copy / CALIBRATION_FILE)
    del data["measured_with"]
    (copy / CALIBRATION_FILE).write_text(json.dumps(data), encoding="utf-8")
    found = known(copy)
    assert found.data == {}
    assert set(found.left_out.values()) == {"it does not say which networks it was measured with"}


MALFORMED = (
    "",
    "[]",
    "null",
    '{"scorers": 3}',
    '{"scorers": {"identity": {"positive": 1}}}',
    '{"scorers": ',
    '{"measured_with": []}',
    '{"measured_with": {"scorers.identity": "face_recognizer"}}',
    "[" * 100_000,
)


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: text[:30])
def test_a_malformed_calibration_is_named(checkpoint_dir: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "torn.json").write_text(text, encoding="utf-8")
    with pytest.raises(UnusableCalibration, match=r"torn\.json cannot be read as a calibration"):
        known(checkpoint_dir, calibration=str(tmp_path / "torn.json"))


@pytest.mark.parametrize("text", ["{", "[1]", "3", '{"scorers": []}', '{"measured_with": 3}'])
def test_nothing_is_added_to_a_file_that_is_no_calibration(tmp_path: Path, text: str) -> None:
    path = tmp_path / "torn.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UnusableCalibration, match=r"torn\.json cannot be read as a calibration"):
        write_sections(path, {"scorers.identity": SECTION}, {"face_detector": "0", "face_recognizer": "1"})
    assert path.read_text(encoding="utf-8") == text


def test_a_calibration_that_was_asked_for_must_belong(checkpoint_dir: Path, other_pack: Path, tmp_path: Path) -> None:
    """Refused, not dropped: whoever names a file wants it used."""
    own = digests_of_faces(find_faces(checkpoint_dir / "faces", detection_size=128))
    write_sections(tmp_path / "cal.json", {"scorers.identity": SECTION}, own)
    ask = {"calibration": str(tmp_path / "cal.json")}
    assert known(checkpoint_dir, **ask).records()["identity"].one == 0.8
    assert known(checkpoint_dir, **ask).data["scorers"]["realism"]
    ingredients = gather(ExportRequest(str(checkpoint_dir), faces=str(other_pack), **ask))
    with pytest.raises(
        UnusableCalibration, match=r"cal\.json belongs to other networks .identity: measured with another"
    ):
        inspect(prepare(ingredients), tmp_path / "output")


def test_a_calibration_is_part_of_what_is_asked_for(checkpoint_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "cal.json"
    digests = set()
    for one in (0.8, 0.7):
        path.write_text(json.dumps({"scorers": {}, "note": one}), encoding="utf-8")
        digests.add(gather(ExportRequest(str(checkpoint_dir), calibration=str(path))).sha256())
    assert len(digests) == 2


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people: a folder each, with the character's picture and the truth of the edit."""
    folder = tmp_path_factory.mktemp("people")
    for number in range(PEOPLE):
        drawn = task(FIRST_TASK + number, Split.HELD_OUT)
        person = folder / f"person {number}"
        person.mkdir()
        Image.fromarray(drawn.character.picture).save(person / "character.png")
        Image.fromarray(drawn.truth.picture).save(person / "truth.png")
    return folder


def calibrate(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "export.calibrate", *map(str, options)]
    environment = os.environ | {"COLUMNS": "300", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_scale_is_measured_and_taken_by_the_export(checkpoint_dir: Path, people: Path, tmp_path: Path) -> None:
    """The drawn people's scale lies where studio-mini's own does, which was measured on other drawn people."""
    output = tmp_path / "cal.json"
    done = calibrate(
        "--faces", checkpoint_dir / "faces", "--people", people, "--detection-size", 128, "--output", output
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    data = read_calibration(output)
    assert data["scorers"].keys() == {"identity", "identity_heldout"}
    stored = read_calibration(checkpoint_dir / CALIBRATION_FILE)["scorers"]
    for scorer, section in data["scorers"].items():
        assert (section["positive"]["count"], section["people"]) == (PEOPLE, PEOPLE)
        assert section["negative"]["count"] == 4 * PEOPLE * (PEOPLE - 1) // 2
        for kind in ("positive", "negative"):
            assert section[kind]["mean"] == pytest.approx(stored[scorer][kind]["mean"], abs=0.15)
    identity = ScoreMaps.from_calibration(data).maps["identity"]
    assert f"identity: {identity.zero:.3f} counts as 0, {identity.one:.3f} as 1" in done.stdout
    given = known(checkpoint_dir, calibration=str(output))
    assert given.records()["identity"].one == pytest.approx(identity.one)
    assert given.left_out == {}


def test_sections_of_an_earlier_file_stay(checkpoint_dir: Path, people: Path, tmp_path: Path) -> None:
    output = tmp_path / CALIBRATION_FILE
    shutil.copy(checkpoint_dir / CALIBRATION_FILE, output)
    before = read_calibration(output)
    pack = ("--faces", checkpoint_dir / "faces", "--detection-size", 128)
    assert calibrate(*pack, "--people", people, "--output", output).returncode == 0
    after = read_calibration(output)
    assert after["scorers"]["identity"] != before["scorers"]["identity"]
    assert after["landscape"] == before["landscape"]
    assert after["scorers"]["realism"] == before["scorers"]["realism"]


def test_what_is_left_out_and_what_does_not_suffice_is_said(checkpoint_dir: Path, people: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    shutil.copytree(people / "person 0", few / "anna")
    shutil.copy(few / "anna" / "truth.png", few / "anna" / "truth again.png")
    (few / "anna" / "notes.txt").write_text("not a picture", encoding="utf-8")
    Image.new("RGB", (64, 64), "gray").save(few / "anna" / "wall.png")
    pair = [np.asarray(Image.open(people / f"person {k}" / "character.png").convert("RGB")) for k in (1, 2)]
    Image.fromarray(np.concatenate(pair, axis=1)).save(few / "anna" / "two.png")
    Image.new("RGB", (64, 64)).save(few / "loose.png")
    shutil.copytree(people / "person 0", few / "anna" / "summer")
    shutil.copytree(people / "person 0", few / ".thumbnails")
    shutil.copy(few / "anna" / "truth.png", few / "anna" / "._truth.png")
    (few / "anna" / "gone.png").symlink_to(few / "nowhere.png")
    (few / "berta").mkdir()
    (few / "carla" / "winter").mkdir(parents=True)
    pack = ("--faces", checkpoint_dir / "faces", "--detection-size", 128)
    done = calibrate(*pack, "--people", few, "--output", tmp_path / "cal.json")
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "1 people and 1 pairs of pictures of one person were found; 2 and 10 are needed" in said
    for reason in (
        "anna/truth.png: it is the same picture as truth again.png",
        "anna/wall.png: it shows no face",
        "anna/two.png: it shows 2 faces",
        "loose.png: it lies in no person's folder",
        "anna/summer: it is no file; pictures lie in the person's folder itself",
        "anna/gone.png: it is no file",
        "anna/._truth.png: it is hidden",
        "few/.thumbnails: it is hidden",
        "few/berta: it is empty",
        "carla/winter: it is no file; pictures lie in the person's folder itself",
    ):
        assert reason in said
    assert "anna/notes.txt: " in said
    assert not (tmp_path / "cal.json").exists()


class Embedded:
    """Embeds a picture of one color as the unit vector of its red."""

    def embed(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        angle = float(picture[0, 0, 0]) / 255 * np.pi
        return {"recognizer": np.array([np.cos(angle), np.sin(angle)], np.float32)}


def colors(folder: Path, **people: list[int]) -> Path:
    for name, reds in people.items():
        (folder / name).mkdir(parents=True)
        for number, red in enumerate(reds):
            Image.new("RGB", (64, 64), (red, 0, 0)).save(folder / name / f"{number}.png")
    return folder


def test_a_picture_of_two_people_is_refused(tmp_path: Path) -> None:
    """It would count as a pair of two people with a cosine of 1."""
    folder = colors(tmp_path, anna=[0, 10], berta=[200, 10])
    with pytest.raises(MixedPeople, match=r"anna/1\.png and .*berta/1\.png are the same picture"):
        read_people(folder, Embedded())


def test_one_person_in_two_folders_is_said(tmp_path: Path) -> None:
    folder = colors(tmp_path, anna=[0, 20, 40], anna_again=[10, 30], berta=[200, 220])
    ((first, second, likeness),) = alike(read_people(folder, Embedded()))
    assert (first, second) == ("anna", "anna_again")
    assert likeness > 0.9


def test_folders_of_mixed_people_give_no_scale(checkpoint_dir: Path, people: Path, tmp_path: Path) -> None:
    for number in range(PEOPLE):
        folder = tmp_path / "mixed" / str(number)
        folder.mkdir(parents=True)
        for shift in range(2):
            shutil.copy(
                people / f"person {(number + shift) % PEOPLE}" / f"{'truth' if shift else 'character'}.png", folder
            )
    pack = ("--faces", checkpoint_dir / "faces", "--detection-size", 128)
    done = calibrate(*pack, "--people", tmp_path / "mixed", "--output", tmp_path / "cal.json")
    assert done.returncode == 1
    assert "is every folder of one person?" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--faces", "nowhere/pack", "--people", "."), 2, "there is no face pack at nowhere/pack"),
        (("--faces", "{faces}", "--people", "nowhere"), 2, "there is no folder nowhere"),
        (("--faces", "{faces}", "--people", ".", "--verifier", "none.onnx"), 2, "there is no file none.onnx"),
        (("--faces", "{wrong}", "--people", "."), 1, "instead of [batch=1, 512]"),
    ],
)
def test_what_cannot_be_measured_is_said(
    checkpoint_dir: Path, tmp_path: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    scrfd(wrong / "det.onnx")
    arcface(wrong / "rec.onnx", features=192)
    done = calibrate(*(option.format(faces=checkpoint_dir / "faces", wrong=wrong) for option in options))
    assert done.returncode == code
    assert message in " ".join(done.stderr.split())


def test_a_dry_run_refuses_what_the_export_refuses(checkpoint_dir: Path, other_pack: Path, tmp_path: Path) -> None:
    own = digests_of_faces(find_faces(checkpoint_dir / "faces", detection_size=128))
    write_sections(tmp_path / "cal.json", {"scorers.identity": SECTION}, own)
    command = [sys.executable, "-m", "export", "--checkpoint", str(checkpoint_dir), "--output", str(tmp_path / "out")]
    more = ["--faces", str(other_pack), "--calibration", str(tmp_path / "cal.json"), "--dry-run"]
    done = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "belongs to other networks" in " ".join(done.stderr.split())


def test_calibration_for_and_notices_agree(checkpoint_dir: Path) -> None:
    ingredients = gather(ExportRequest(str(checkpoint_dir)))
    prepared = prepare(ingredients)
    assert calibration_for(ingredients, prepared.faces) == prepared.calibration
    assert not [notice for notice in notices(prepared) if "calibration" in notice]
    assert belonging({}, {}).data == {}
