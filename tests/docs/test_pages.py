"""README and documentation: every block of code runs as it is written, links lead somewhere, tables are complete.

A block runs in a folder of its page, in order, against a search server over a real Triton. ``<!-- not run: REASON -->``
in front of a block says why it does not; its commands must then still be accepted by their own parsers.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from eacps.cli.app import app
from eacps.triton.embedded import EmbeddedTriton
from export.__main__ import main as export_main
from tests.cli.test_processes import EACPS, running
from tests.gateway.envoy import envoy_before

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RECORDS = {"experiments.md"}
"""Pages whose commands say what was run once, on another state of the code."""
SAMPLE = ROOT / "studio_mini" / "samples" / "smile"
FILES = {"scene.png": "scene", "character.png": "character", "mine.png": "truth", "theirs.png": "scene"}
BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+) -->\n+)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
EXPORT = typer.Typer()
EXPORT.command()(export_main)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Args:
        page: Where it stands.
        language: ``bash``, ``python``, or "" for output.
        code: Its text.
        reason: Why it is not run; "" if it is.
    """

    page: Path
    language: str
    code: str
    reason: str

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command line, without variables in front, redirections and comments."""
        found = []
        for line in self.code.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("SEARCH=$(").removesuffix(")"), comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            found.append([word for word in words if word != "&"])
        return found


def blocks_of(page: Path) -> list[Block]:
    found = [
        Block(page, match["language"], match["code"], match["reason"] or "")
        for match in BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]
    return [block for block in found if block.language in ("bash", "python")]


ALL = [block for page in PAGES if page.name not in RECORDS for block in blocks_of(page)]


@pytest.fixture(scope="module")
def server(triton: EmbeddedTriton) -> Iterator[str]:
    """Address of a search server over the shared Triton."""
    with running("serve", "--triton", triton.grpc_url, "--listen", "127.0.0.1:0", "--insecure") as (_, served):
        yield served["address"]


@pytest.fixture(scope="module")
def addresses(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses by those that stand in the pages: of the search server, and of the two HTTP interfaces over it."""
    command = [*EACPS, "http", "--server", server, "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as http:
        assert http.stdout is not None
        address = json.loads(http.stdout.readline())["address"].removeprefix("http://")
        with envoy_before(server, tmp_path_factory.mktemp("envoy")) as envoy:
            yield {"127.0.0.1:50051": server, "127.0.0.1:8080": address, "127.0.0.1:8081": envoy}
        http.terminate()
        assert http.wait(timeout=60) == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the pages name."""
    for name, source in FILES.items():
        shutil.copy(SAMPLE / f"{source}.png", tmp_path / name)
    (tmp_path / "studio_mini").symlink_to(ROOT / "studio_mini")
    return tmp_path


def test_there_are_blocks() -> None:
    assert sum(not block.reason for block in ALL) >= 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_without_a_language_are_output(page: Path) -> None:
    if page.name in RECORDS:
        return
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        assert match["language"] in ("", "bash", "python", "mermaid")
        assert match["language"] or not re.search(r"^(\$ )?(eacps|python|make|docker) ", match["code"], re.M), match[
            "code"
        ]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(not b.reason for b in ALL if b.page == page)], ids=lambda page: page.name
)
def test_blocks_run_as_they_are_written(page: Path, folder: Path, addresses: dict[str, str]) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "EACPS_SERVER": addresses["127.0.0.1:50051"],
    }
    for block in ALL:
        if block.page != page or block.reason:
            continue
        code = block.code
        for written, real in addresses.items():
            code = code.replace(written, real)
        command = (
            [sys.executable, "-c", code] if block.language == "python" else ["bash", "-euo", "pipefail", "-c", code]
        )
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{block.code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    "block",
    [one for one in ALL if one.reason],
    ids=lambda block: f"{block.page.name}:{block.code.splitlines()[0][:40]}",
)
def test_commands_that_are_not_run_are_accepted(block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    eacps: Any = typer.main.get_command(app)
    for words in block.commands:
        match words:
            case ["eacps", command, *rest]:
                eacps.commands[command].make_context(command, rest)  # raises a usage error otherwise
            case ["python", "-m", "export", *rest]:
                typer.main.get_command(EXPORT).make_context("export", rest)
            case ["docker", *rest] if "export" in (end := rest[rest.index("--rm") + 1 :] if "--rm" in rest else []):
                typer.main.get_command(EXPORT).make_context("export", end[1:])
            case ["make", *targets]:
                makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
                assert all(f"\n{target}: " in makefile for target in targets if "=" not in target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not re.match(r"https?:", target):
            assert (page.parent / target).exists(), target


def test_decisions_are_numbered_one_by_one() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for path in records:
        title = path.read_text(encoding="utf-8").splitlines()[0]
        assert re.match(rf"# 0*{int(path.name[:4])}[.:] ", title), f"{path.name}: {title}"


def test_every_setting_is_documented() -> None:
    sources = [*(ROOT / "server/eacps/settings").glob("*.py"), *(ROOT / "server/eacps/cli").glob("*.py")]
    read = {name for path in sources for name in re.findall(r"(EACPS_[A-Z_]+)", path.read_text(encoding="utf-8"))}
    prefixes = tuple(name for name in read if name.endswith("_"))
    pages = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("settings.md", "operations.md"))
    documented = set(re.findall(r"`(EACPS_[A-Z_]+)`", pages))
    judges = ("EACPS_OPENAI_", "EACPS_GEMINI_", "EACPS_MOONDREAM_", "EACPS_REWARD_")  # docs/judges.md has one table
    assert not {name for name in read - documented if not name.startswith(judges)} - set(prefixes)
    assert not {name for name in documented - read if not name.startswith(prefixes)}
