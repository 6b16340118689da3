"""The help of every command: sentences, defaults, and an example that the command's own parser accepts."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from eacps.cli.app import app
from eacps.cli.examples import EXAMPLES
from eacps.cli.exit_codes import MEANINGS, ExitCode
from eacps.limits import RANGES

Eacps = Callable[..., Any]
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group has them
PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
FILES = ("best.png", "scene.png", "character.png", "mine.png", "theirs.png", "shots.csv")


def test_every_command_has_an_example() -> None:
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_is_shown_and_is_accepted(
    name: str, eacps: Eacps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, command, *words = shlex.split(EXAMPLES[name])
    assert (program, command) == ("eacps", name)
    assert EXAMPLES[name] in " ".join(eacps(name, "--help").stdout.split())
    monkeypatch.chdir(tmp_path)
    for file in FILES:
        Path(file).touch()
    COMMANDS[name].make_context(name, words)  # raises a usage error otherwise


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained_in_a_sentence(name: str) -> None:
    assert COMMANDS[name].help.endswith(".")
    for option in COMMANDS[name].params:
        told = re.sub(r"\s*\\\[default: [^\]]*\]$", "", option.help or "")
        if option.name != "help":
            assert re.fullmatch(r"[A-Z\"].*\.", told), f"{name} {option.name}: {told!r}"
            assert len(told.split()) >= 3, f"{name} {option.name}: {told!r}"


def test_defaults_are_those_of_the_api() -> None:
    told = {option.name: option.help for option in COMMANDS["search"].params}
    for name, path in (
        ("trajectories", "search.eacps_adaptive.trajectories"),
        ("angle", "search.eacps.spherical.angle"),
        ("rounds", "search.eacps.local_rounds"),
    ):
        assert f"[default: {RANGES[path].default:g}]" in told[name]


def test_exit_codes_are_documented_once_each() -> None:
    assert set(MEANINGS) == set(ExitCode)
    assert len(set(MEANINGS.values())) == len(ExitCode)
    table = PAGE[PAGE.index("## Exit codes") :]
    assert {
        int(code) for code in re.findall(r"\d+", " ".join(re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)))
    } == {int(code) for code in ExitCode}


def test_the_program_prints_its_version_and_completes_in_shells(eacps: Eacps) -> None:
    from eacps import __version__

    assert eacps("--version").stdout.strip() == __version__
    assert "--install-completion" in eacps("--help").stdout
