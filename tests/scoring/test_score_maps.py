"""What raw scores mean: monotone maps to [0, 1], read from a checkpoint's calibration."""

import csv
import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eacps.errors import InvalidSearchSpec
from eacps.scoring.score_maps import Scale, ScoreMap, ScoreMaps
from eacps.search.potential import saturated


@given(st.sampled_from(list(Scale)), st.floats(0, 1), st.floats(0, 1))
def test_maps_are_monotone_and_capped(scale: Scale, one: float, other: float) -> None:
    mapped = ScoreMap(scale, 0.1, 0.7)
    low, high = sorted((one, other))
    assert 0.0 <= mapped(low) <= mapped(high) <= 1.0
    assert (mapped(0.1), mapped(0.7), mapped(0.9)) == (0.0, 1.0, 1.0)


def test_a_checkpoints_file_is_read() -> None:
    section = {"positive": {"quantiles": {"0.5": 0.7, "0.95": 0.9}}, "negative": {"quantiles": {"0.5": 0.0}}}
    maps = ScoreMaps.from_calibration({"scorers": {"identity": section}})
    assert maps.maps["identity"].one == 0.9  # what two pictures of one person reach, at the upper end
    assert maps.values({"identity": 0.45, "other": 0.3}) == {"identity": pytest.approx(0.5), "other": 0.3}
    assert ScoreMaps.from_calibration(None) == ScoreMaps.from_calibration({}) == ScoreMaps()


def test_answers_count_in_log_odds_and_end_beyond_what_good_pictures_reach() -> None:
    good = {"0.5": 0.9, "0.95": 0.99}
    section = {"positive": {"quantiles": good}, "negative": {"quantiles": {"0.5": 0.5}}}
    mapped = ScoreMaps.from_calibration({"scorers": {"realism": section}}).maps["realism"]
    end = 2 * math.log(99) - math.log(9)  # as far above the upper end as that is above the median
    assert mapped(0.5) == 0.0
    assert mapped(0.9) == pytest.approx(math.log(9) / end)
    assert mapped(0.99) == pytest.approx(math.log(99) / end)
    assert mapped(0.99) < 0.9
    assert mapped(1 / (1 + math.exp(-end))) == pytest.approx(1.0)
    assert mapped(0.99999) == 1.0


def test_a_structural_similarity_ends_at_its_own_end() -> None:
    section = {"positive": {"quantiles": {"0.5": 0.9, "0.95": 0.99}}, "negative": {"quantiles": {"0.5": 0.7}}}
    mapped = ScoreMaps.from_calibration({"scorers": {"preservation": section}}).maps["preservation"]
    assert [mapped(0.7), mapped(0.85), mapped(1.0)] == pytest.approx([0.0, 0.5, 1.0])


def test_judges_without_a_calibration_count_in_log_odds_reward_models_as_they_are() -> None:
    raw = {"prompt": 0.5, "openai.realism": 0.9, "triton.hat": 0.99, "reward.prompt": 0.9, "identity": 0.9}
    values = ScoreMaps().values(raw)
    end = math.log(99_999)
    assert values == {
        "prompt": pytest.approx(0.5),
        "openai.realism": pytest.approx(0.5 + math.log(9) / (2 * end)),
        "triton.hat": pytest.approx(0.5 + math.log(99) / (2 * end)),
        "reward.prompt": 0.9,
        "identity": 0.9,
    }


def test_on_the_studys_pictures_no_default_scorer_is_saturated() -> None:
    """Every picture that the study has scored on studio-mini; a twentieth at most may be at the end of a scale."""
    root = Path(__file__).resolve().parents[2]
    data = json.loads((root / "studio_mini" / "checkpoint" / "calibration.json").read_text())
    maps = ScoreMaps.from_calibration(data).maps
    with gzip.open(root / "studies" / "pool.csv.gz", "rt", encoding="utf-8") as file:
        next(file)
        rows = [row for row in csv.DictReader(file) if row["steps"] == "8"]
    assert len(rows) > 10_000
    for name in ("identity", "realism", "prompt", "preservation"):
        mapped = maps[name]
        assert np.mean([saturated(mapped(float(row[name]))) for row in rows]) < 0.05, name


@pytest.mark.parametrize(
    "data",
    [
        {"scorers": 3},
        {"scorers": {"identity": {"positive": {}}}},
    ],
)
def test_a_malformed_file_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(InvalidSearchSpec, match="calibration"):
        ScoreMaps.from_calibration(data)
