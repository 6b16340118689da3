"""OpenAI's word for quality, as the number of trajectories of a search."""

import pytest

from eacps.http.edit import edit_request
from eacps.http.fields import TRAJECTORIES, fields_of
from eacps.http.form import Form
from tests.http.conftest import CHARACTER, SCENE


def form_of(**texts: str) -> Form:
    """A form with two pictures."""
    values = {"prompt": "smile", **texts}
    return Form({name: [text] for name, text in values.items()}, {"image[]": [SCENE, CHARACTER]})


@pytest.mark.parametrize("quality", sorted(TRAJECTORIES))
def test_a_given_quality_sets_the_number_of_trajectories(quality: str) -> None:
    request = edit_request(fields_of(form_of(quality=quality)), "", 60.0)
    assert request.search.eacps_adaptive.trajectories == TRAJECTORIES[quality]


@pytest.mark.parametrize(
    "texts", [{}, {"quality": "auto"}, {"quality": "standard"}], ids=["absent", "auto", "standard"]
)
def test_without_one_the_search_server_decides(texts: dict[str, str]) -> None:
    assert edit_request(fields_of(form_of(**texts)), "", 60.0).search.WhichOneof("strategy") is None


def test_a_strategy_goes_before_a_quality() -> None:
    form = form_of(quality="medium", eacps='{"search": {"best_of_n": {"trajectories": 6}}}')
    assert edit_request(fields_of(form), "", 60.0).search.WhichOneof("strategy") == "best_of_n"
