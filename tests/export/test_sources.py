"""Checkpoints and files from a hub, by the hub's own client; what is nowhere is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.sources import MissingSource, locate_checkpoint, locate_file
from tests.export.hub import COMMIT, serving_hub

ROOT = Path(__file__).resolve().parents[2]
FETCH = """
import sys
from export.request import ExportRequest, gather
found = gather(ExportRequest("studio/studio-mini", revision="main", verifier="studio/studio-mini/faces/verifier.onnx"))
complete = all((found.source.folder / name).is_file() for name in ("vae/config.json", "README.md"))
print(found.source.name, found.source.revision, complete, found.verifier)
"""


def test_a_checkpoint_of_the_hub_comes_with_its_commit(checkpoint_dir: Path, tmp_path: Path) -> None:
    with serving_hub("studio/studio-mini", checkpoint_dir) as address:
        # The client reads where its hub is when it is imported: in a process of its own.
        environment = os.environ | {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
        done = subprocess.run(
            [sys.executable, "-c", FETCH],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    name, revision, complete, verifier = done.stdout.split()
    assert (name, revision, complete) == ("studio-mini", COMMIT, "True")
    assert Path(verifier).read_bytes() == (checkpoint_dir / "faces" / "verifier.onnx").read_bytes()


def test_a_folder_is_itself(checkpoint_dir: Path) -> None:
    source = locate_checkpoint(str(checkpoint_dir), None)
    assert (source.folder, source.name, source.revision) == (checkpoint_dir, "checkpoint", "")


@pytest.mark.parametrize("reference", ["nowhere", "/no/such/folder", "a/b/c"])
def test_what_is_no_folder_and_no_name_is_refused(reference: str) -> None:
    with pytest.raises(MissingSource, match="there is no checkpoint at"):
        locate_checkpoint(reference, None)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(MissingSource, match=r"does not end in \.safetensors"):
        locate_file(str(tmp_path / "weights.bin"), ".safetensors")
