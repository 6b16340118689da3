"""Whom several faces show together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eacps.scene.faces import mean_identity

ANGLES = st.lists(st.floats(-60, 60), min_size=1, max_size=8)


def at(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0.0], np.float32)


@given(ANGLES)
def test_the_mean_is_a_unit_vector_between_them(angles: list[float]) -> None:
    mean = mean_identity([at(one) for one in angles])
    assert mean.dtype == np.float32
    assert np.linalg.norm(mean) == pytest.approx(1.0, abs=1e-6)
    assert min(angles) - 0.1 <= np.degrees(np.arctan2(mean[1], mean[0])) <= max(angles) + 0.1


@given(ANGLES.flatmap(lambda angles: st.tuples(st.just(angles), st.permutations(angles))))
def test_the_order_does_not_matter(pair: tuple[list[float], list[float]]) -> None:
    one, other = (mean_identity([at(angle) for angle in angles]) for angles in pair)
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_one_alone_is_itself_bit_for_bit() -> None:
    one = at(33.3) * np.float32(0.9999)
    assert mean_identity([one]) is one


def test_of_opposites_there_is_no_mean() -> None:
    with pytest.raises(ValueError, match="cancel out"):
        mean_identity([at(0), -at(0)])
