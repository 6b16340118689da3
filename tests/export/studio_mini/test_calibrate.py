"""Calibration says what raw scores mean: good pictures above bad ones, other sections untouched."""

import json
from pathlib import Path

import numpy as np
import pytest

from export.studio_mini import calibrate

CHECKPOINT = Path(calibrate.__file__).parent / "checkpoint"


def test_sections_are_replaced_one_by_one(tmp_path: Path) -> None:
    calibrate.write_section(tmp_path, "previews", {"0.25": 0.9})
    calibrate.write_section(tmp_path, "scorers", {"identity": 1})
    calibrate.write_section(tmp_path, "scorers", {"identity": 2})
    stored = json.loads((tmp_path / calibrate.CALIBRATION_FILE).read_text(encoding="utf-8"))
    assert stored == {"previews": {"0.25": 0.9}, "scorers": {"identity": 2}}


def test_distributions_are_described() -> None:
    told = calibrate.distribution(np.arange(101) / 100)
    assert (told["count"], told["mean"]) == (101, 0.5)
    assert told["quantiles"]["0.95"] == pytest.approx(0.95)


def test_measured_anew_a_few_tasks_lie_where_the_stored_ones_do() -> None:
    stored = json.loads((CHECKPOINT / calibrate.CALIBRATION_FILE).read_text(encoding="utf-8"))["scorers"]
    anew = calibrate.scorer_distributions(CHECKPOINT, 12)
    assert anew.keys() == stored.keys() == {"identity", "identity_heldout", "realism", "prompt", "preservation"}
    for name, section in stored.items():
        assert section["positive"]["quantiles"]["0.5"] > section["negative"]["quantiles"]["0.5"] + 0.1
        for kind in ("positive", "negative"):
            spread = section[kind]["sd"] / 12**0.5
            assert abs(anew[name][kind]["mean"] - section[kind]["mean"]) < 5 * spread + 0.02
