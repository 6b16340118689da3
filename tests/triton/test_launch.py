"""What an embedded Triton inherits."""

from pathlib import Path

import pytest

from eacps.triton import launch


def test_keys_of_the_outside_judge_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("EACPS_OPENAI_API_KEY", "secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    inherited = launch.environment(tmp_path)
    assert inherited["LANG"] == "C.UTF-8"
    assert "secret" not in inherited.values()
