"""``eacps faces`` over a toy server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Eacps = Callable[..., Any]


def test_faces_are_printed_as_other_commands_take_them_and_drawn(
    eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = eacps("faces", pictures[0], "--server", toy)
    assert done.exit_code == 0, done.stderr
    assert "largest: the default" in done.stdout
    with Image.open(tmp_path / "scene_faces.png") as drawing, Image.open(pictures[0]) as scene:
        assert drawing.size == scene.size
        assert drawing.convert("RGB").tobytes() != scene.convert("RGB").tobytes()
    found = json.loads(eacps("faces", pictures[0], "--server", toy, "--out", "other.png", "--json").stdout)
    (face,) = found["faces"]
    box = ",".join(f"{edge:.0f}" for edge in face["box"])
    assert box in done.stdout
    assert (found["width"], found["height"]) == scene.size


def test_a_drawing_that_exists_is_replaced_on_request_alone(
    eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "faces.png"
    out.write_bytes(b"precious")
    refused = eacps("faces", pictures[0], "--server", toy, "--out", out)
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert out.read_bytes() == b"precious"
    assert eacps("faces", pictures[0], "--server", toy, "--out", out, "--overwrite").exit_code == 0
    assert out.read_bytes() != b"precious"
