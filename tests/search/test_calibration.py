"""What was measured on a checkpoint beforehand, read from its file and restored from snapshots."""

import pytest

from eacps.errors import InvalidSearchSpec
from eacps.search.calibration import Calibration


def test_a_checkpoints_file_is_read() -> None:
    calibration = Calibration.from_dict({"scorers": {}, "restarts": {"0.5": 0.4, "0.75": 0.8}})
    assert calibration.restart_correlation(0.625) == pytest.approx(0.6)
    assert calibration.restart_correlation(0.25) is None
    assert Calibration.restored(calibration.to_dict()) == calibration
    assert Calibration.from_dict(None) == Calibration()


@pytest.mark.parametrize("data", [{"landscape": {"curvature": {"mean": 0, "sd": 1}}}, {"restarts": {"a": 1}}])
def test_a_malformed_file_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(InvalidSearchSpec, match="calibration"):
        Calibration.from_dict(data)
