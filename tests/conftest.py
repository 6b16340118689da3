"""What tests share: a checkpoint, the repository exported from it, one Triton that serves it, and diffusers' pipeline.

All are made once and only where a test asks for them. The repository stays in ``.build`` between runs and is made
anew only when the checkpoint or the code that exports it has changed.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eacps.triton.embedded import EmbeddedTriton

if TYPE_CHECKING:
    from diffusers import QwenImageEditPlusPipeline

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / ".build"
TRAINED_CHECKPOINT = ROOT / "export" / "studio_mini" / "checkpoint"


@pytest.fixture(scope="session")
def checkpoint_dir() -> Path:
    """The checked-in studio-mini."""
    return TRAINED_CHECKPOINT


@pytest.fixture(scope="session")
def model_repository_dir(checkpoint_dir: Path) -> Path:
    """The embedded target's repository of ``checkpoint_dir``."""
    output = BUILD / "test_model_repository"
    BUILD.mkdir(exist_ok=True)
    # Test runs beside one another must not both export.
    with (BUILD / "export.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["-m", "export", "--checkpoint", str(checkpoint_dir), "--output", str(output)]
        done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"export of {checkpoint_dir} failed:\n{done.stderr[-2000:]}")
    return output


@pytest.fixture(scope="session")
def triton(model_repository_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTriton]:
    """A running Triton that serves ``model_repository_dir``."""
    log_file = tmp_path_factory.mktemp("triton") / "triton.log"
    with EmbeddedTriton(model_repository_dir, log_file=log_file) as server:
        yield server


@pytest.fixture(scope="session")
def pipeline(checkpoint_dir: Path) -> QwenImageEditPlusPipeline:
    """diffusers' own pipeline over ``checkpoint_dir``: the oracle."""
    from export.checkpoint import load_pipeline

    return load_pipeline(checkpoint_dir)
