"""What the tests of the export share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.export.full_size import write_configurations


@pytest.fixture(scope="module")
def full_size(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configurations of the published sizes; tokenizer and faces are studio-mini's."""
    folder = tmp_path_factory.mktemp("full") / "Qwen-Image-Edit-2511"
    write_configurations(folder, checkpoint_dir)
    return folder
