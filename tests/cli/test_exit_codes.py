"""One meaning for every exit code, over all commands: who has to act is the same whatever was asked for."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from eacps.api import KeyRing
from eacps.api.access import add_key
from eacps.cli.app import app
from eacps.cli.exit_codes import ExitCode
from tests.cli.conftest import toy_server
from tests.cli.searches import picture

Eacps = Callable[..., Any]
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # a group has them
NOWHERE = "127.0.0.1:1"
ABSENT = "0" * 32
SMILE = ("--prompt", "smile")
CALLS = {
    "search": ("scene.png", "character.png", *SMILE, "--out", "out"),
    "submit": ("scene.png", "character.png", *SMILE),
    "score": ("scene.png", "character.png", "scene.png", *SMILE),
    "batch": ("shots.csv", "--out", "out"),
    "faces": ("scene.png", "--out", "faces.png"),
    "watch": (ABSENT, "--out", "out"),
    "cancel": (ABSENT,),
    "delete": (ABSENT,),
    "download": (ABSENT * 2, "file.png"),
    "render": (ABSENT, "g0-000", "file.png"),
    "pick": (ABSENT, "g0-000", "file.png"),
    "rank": (ABSENT,),
    "review": (ABSENT, "--out", "file.html"),
    "list": (),
    "health": (),
}
"""Commands that call a server, each with words that are in order."""
ELSEWHERE = {"up", "serve", "demo", "key", "doctor", "version", "inspect", "http", "mcp", "studio"}
OF_A_SEARCH = ("watch", "cancel", "delete", "download", "render", "pick", "rank", "review")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two pictures and a list of one shot, in which commands are run."""
    monkeypatch.chdir(tmp_path)
    Path("scene.png").write_bytes(picture(10))
    Path("character.png").write_bytes(picture(100))
    Path("shots.csv").write_text("scene,character,prompt\nscene.png,character.png,smile\n")
    return tmp_path


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that wants a key."""
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    add_key(keys, "studio")
    with toy_server(keys=KeyRing.read(keys)) as address:
        yield address


def test_every_command_is_looked_at() -> None:
    assert CALLS.keys() | ELSEWHERE == COMMANDS


@pytest.mark.parametrize("name", CALLS)
def test_a_server_that_is_not_there_is_for_the_operator(name: str, eacps: Eacps) -> None:
    done = eacps(name, *CALLS[name], "--server", NOWHERE)
    assert done.exit_code == ExitCode.SERVER, done.output
    assert NOWHERE in done.stderr.replace("\n", "")


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"health"}))
def test_a_key_that_is_missing_is_for_the_caller(name: str, locked: str, eacps: Eacps) -> None:
    done = eacps(name, *CALLS[name], "--server", locked)
    assert done.exit_code == ExitCode.REQUEST, done.output


@pytest.mark.parametrize("name", OF_A_SEARCH)
def test_what_is_not_there_is_for_the_caller(name: str, toy: str, eacps: Eacps) -> None:
    done = eacps(name, *CALLS[name], "--server", toy)
    assert done.exit_code == ExitCode.REQUEST, done.output
    assert ABSENT[:12] in done.stderr.replace("\n", "")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_an_option_that_there_is_not_is_for_the_caller(name: str, eacps: Eacps) -> None:
    assert eacps(name, "--no-such-option").exit_code == ExitCode.REQUEST


@pytest.mark.parametrize("name", ["search", "submit", "score", "batch", "faces", "inspect"])
def test_a_file_that_is_missing_is_for_the_caller(name: str, toy: str, eacps: Eacps) -> None:
    words = CALLS.get(name, ("scene.png",))
    for file in ("scene.png", "character.png", "shots.csv"):
        Path(file).unlink()
    server = () if name == "inspect" else ("--server", toy)
    done = eacps(name, *words, *server)
    assert done.exit_code == ExitCode.REQUEST, done.output
    assert words[0] in done.stderr


@pytest.mark.parametrize("name", ["search", "batch", "watch"])
def test_a_file_in_the_way_of_a_folder_is_for_the_caller_before_any_server_is_asked(name: str, eacps: Eacps) -> None:
    Path("out").write_bytes(b"precious")
    done = eacps(name, *CALLS[name], "--server", NOWHERE)
    assert done.exit_code == ExitCode.REQUEST, done.output
    assert Path("out").read_bytes() == b"precious"


def test_commands_that_call_no_server(eacps: Eacps, monkeypatch: pytest.MonkeyPatch) -> None:
    assert eacps("version").exit_code == ExitCode.OK
    assert eacps("key", "studio", "--api-keys", "keys.json").exit_code == ExitCode.OK
    assert eacps("key", "studio", "--api-keys", "scene.png/keys.json").exit_code == ExitCode.REQUEST
    assert eacps("inspect", "scene.png").exit_code == ExitCode.REQUEST
    assert eacps("demo", "--samples", "nowhere").exit_code == ExitCode.REQUEST
    assert eacps("serve", "--listen", "nonsense").exit_code == ExitCode.REQUEST
    monkeypatch.setenv("EACPS_TRITON_READY_TIMEOUT_S", "0.2")
    assert eacps("serve", "--triton", NOWHERE, "--insecure").exit_code == ExitCode.SERVER
    assert eacps("up", "--insecure", "--model-repository", "nowhere").exit_code == ExitCode.INSTALLATION
    assert eacps("doctor", "--model-repository", "nowhere").exit_code == ExitCode.INSTALLATION
