"""Calibration says what raw scores mean: good pictures above bad ones, other sections untouched."""

import json
import shutil
from pathlib import Path

from export.calibration import CALIBRATION_FILE, belonging, digests_of, read_calibration
from export.face_pack import find_faces
from studio_mini import calibrate
from tests.conftest import STUDIO_ANSWERS

CHECKPOINT = Path(calibrate.__file__).parent / "checkpoint"
SECTIONS = [
    {"positive": {"quantiles": {"0.5": best, "0.95": best}}, "negative": {"quantiles": {"0.5": 0.1}}}
    for best in (0.8, 0.9)
]


def test_the_stored_calibration_belongs_to_the_checked_in_networks() -> None:
    faces = find_faces(CHECKPOINT / "faces", detection_size=128)
    stored = read_calibration(CHECKPOINT / CALIBRATION_FILE)
    assert belonging(stored, digests_of(CHECKPOINT, faces)).left_out == {}


def test_a_section_that_is_measured_again_is_replaced_with_its_networks(tmp_path: Path) -> None:
    copy = tmp_path / "checkpoint"
    shutil.copytree(CHECKPOINT, copy)
    calibrate.write_section(copy, "scorers", {"realism": SECTIONS[0]})
    with (copy / STUDIO_ANSWERS / "config.json").open("a") as file:
        file.write("\n")
    calibrate.write_section(copy, "scorers", {"prompt": SECTIONS[1]})
    stored = json.loads((copy / CALIBRATION_FILE).read_text(encoding="utf-8"))
    assert [stored["scorers"]["realism"], stored["scorers"]["prompt"]] == SECTIONS
    networks = {name: noted.get(STUDIO_ANSWERS) for name, noted in stored["measured_with"].items()}
    assert networks["scorers.prompt"] != networks["scorers.realism"] == networks["landscape"]


def test_measured_anew_a_few_tasks_lie_where_the_stored_ones_do() -> None:
    stored = json.loads((CHECKPOINT / CALIBRATION_FILE).read_text(encoding="utf-8"))["scorers"]
    anew = calibrate.scorer_distributions(CHECKPOINT, 12)
    assert anew.keys() == stored.keys() == {"identity", "identity_heldout", "realism", "prompt", "preservation"}
    for name, section in stored.items():
        assert section["positive"]["quantiles"]["0.5"] > section["negative"]["quantiles"]["0.5"] + 0.1
        for kind in ("positive", "negative"):
            spread = section[kind]["sd"] / 12**0.5
            assert abs(anew[name][kind]["mean"] - section[kind]["mean"]) < 5 * spread + 0.02
