"""``python -m export`` as a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_export(checkpoint: Path | str, output: Path | str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, from the project's root, with lines as long as its messages."""
    with start_export(checkpoint, output, *options) as process:
        stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def start_export(checkpoint: Path | str, output: Path | str, *options: str) -> subprocess.Popen[str]:
    """Start the command."""
    command = [sys.executable, "-m", "export", "--checkpoint", str(checkpoint), "--output", str(output), *options]
    environment = os.environ | {"COLUMNS": "1000", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
