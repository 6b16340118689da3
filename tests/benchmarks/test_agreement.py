import numpy as np
import pytest

from benchmarks import agreement
from benchmarks.agreement import Agreement, WorkDiffers
from benchmarks.edits import Edit
from benchmarks.outcome import Outcome
from tests.oracle import reference

GRAY = np.full((32, 32, 3), 128, np.uint8)
SCORES = {"identity": 0.5, "realism": 0.5, "prompt": 0.5}


def outcome(seed: int = 7, brighter: int = 0, **scores: float) -> Outcome:
    edit = Edit(3, GRAY, GRAY, "make the person smile", candidates=1)
    return Outcome(edit, GRAY, {seed: GRAY + np.uint8(brighter)}, {seed: {**SCORES, **scores}}, {})


def test_the_same_work_agrees_and_is_counted() -> None:
    met = Agreement()
    met.compare(outcome(), outcome(identity=0.51))
    assert (met.pictures, met.scores, met.max_difference) == (2, 3, 0)
    assert met.score_difference == pytest.approx(0.01)


def test_another_picture_is_other_work() -> None:
    with pytest.raises(WorkDiffers, match=r"edit 3, seed 7: the pictures differ by 1\.000/255"):
        Agreement().compare(outcome(), outcome(brighter=1))


def test_another_score_is_other_work() -> None:
    with pytest.raises(WorkDiffers, match=r"realism is 0\.5 and 0\.6"):
        Agreement().compare(outcome(), outcome(realism=0.6))


def test_a_missing_score_is_other_work() -> None:
    one = outcome()
    one.scores = {7: {"identity": 0.5, "realism": 0.5}}
    with pytest.raises(WorkDiffers, match="prompt is None"):
        Agreement().compare(one, outcome())


def test_other_seeds_are_other_work() -> None:
    with pytest.raises(WorkDiffers, match="no candidate in common"):
        Agreement().compare(outcome(seed=7), outcome(seed=8))


def test_pictures_are_held_to_the_oracles_tolerance() -> None:
    assert agreement.MEAN_TOLERANCE == reference.MEAN_TOLERANCE
    assert agreement.MAX_TOLERANCE == reference.MAX_TOLERANCE
