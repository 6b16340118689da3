"""Put true output into the README: ``python docs/refresh_readme.py [--tests]``, from the repository's root.

Runs the demo, and with ``--tests`` the tests, and replaces what stands between the marks in README.md; the demo's
contact sheet and plot go to docs/images. The model repository must stand (``make model-repository``).
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DEMO = [sys.executable, "-c", "from eacps.cli.app import main; main()", "demo", "--out", "out/demo"]
TESTS = [sys.executable, "-m", "pytest", "-q"]
ENVIRONMENT = os.environ | {"NO_COLOR": "1", "COLUMNS": "120"}


def output_of(command: list[str]) -> list[str]:
    """Lines that ``command`` prints on both streams; ends this script where it fails."""
    done = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}")
    return [line.rstrip() for line in done.stdout.splitlines()]


def replace(text: str, name: str, lines: list[str]) -> str:
    """``text`` with ``lines`` as a code block between the marks called ``name``."""
    block = "\n".join(["```", *lines, "```"])
    pattern = rf"(<!-- {name} output -->\n).*?(<!-- end -->)"
    changed, count = re.subn(pattern, lambda mark: mark[1] + block + "\n" + mark[2], text, flags=re.DOTALL)
    if count != 1:
        sys.exit(f"README.md has {count} places for the {name} output instead of one")
    return changed


def main() -> None:
    """Refresh the README."""
    parser = argparse.ArgumentParser(description="Put true output into the README.")
    parser.add_argument("--tests", action="store_true", help="run the tests too")
    arguments = parser.parse_args()
    text = replace(README.read_text(encoding="utf-8"), "demo", output_of(DEMO))
    if arguments.tests:
        text = replace(text, "test", output_of(TESTS)[-1:])
    README.write_text(text, encoding="utf-8")
    images = ROOT / "docs" / "images"
    images.mkdir(exist_ok=True)
    for name in ("contact_sheet.png", "search.png"):
        with Image.open(ROOT / "out" / "demo" / name) as image:
            image.save(images / name, optimize=True)  # the demo writes quickly rather than small


if __name__ == "__main__":
    main()
