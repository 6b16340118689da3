"""One meaning for every exit code, over all commands: who has to act is the same whatever was asked for."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import typer

from eacps.api import KeyRing
from eacps.api.access import add_key
from eacps.cli.app import app
from eacps.cli.exit_codes import ExitCode
from eacps.cli.outcome import exit_code_of
from eacps.client import Client
from eacps.errors import TritonModelFailed
from eacps.testing import ToyModels
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
GATEWAYS = {"http": (), "mcp": (), "studio": ("--no-browser",)}
"""Commands that serve over a search server, until they are ended."""
ELSEWHERE = {"up", "serve", "demo", "key", "doctor", "version", "inspect"}
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
    assert CALLS.keys() | GATEWAYS.keys() | ELSEWHERE == COMMANDS


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


@pytest.mark.parametrize("name", GATEWAYS)
def test_an_address_that_a_gateway_cannot_listen_on_is_for_the_caller(name: str, eacps: Eacps) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for listen, message in ((address, f"cannot listen on {address}"), ("nonsense", "not HOST:PORT")):
            done = eacps(name, *GATEWAYS[name], "--server", NOWHERE, "--listen", listen)
            assert done.exit_code == ExitCode.REQUEST, done.output
            assert message in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize("name", ["http", "mcp"])
def test_a_gateway_for_others_asks_its_server_first(name: str, toy: str, eacps: Eacps) -> None:
    """It has to know whether that asks for keys."""
    listen = ("--listen", "0.0.0.0:0")
    assert eacps(name, *listen, "--server", NOWHERE).exit_code == ExitCode.SERVER
    done = eacps(name, *listen, "--server", toy)
    assert done.exit_code == ExitCode.REQUEST, done.output
    assert "without a key" in done.stderr.replace("\n", " ")


def test_a_folder_of_pictures_that_is_missing_or_not_for_all_is_for_the_caller(eacps: Eacps) -> None:
    assert eacps("mcp", "--pictures", "nowhere").exit_code == ExitCode.REQUEST
    assert eacps("mcp", "--pictures", ".", "--listen", "127.0.0.1:0").exit_code == ExitCode.REQUEST


class _WithoutStarlette:
    """Finds the modules that others find, but for those of one package."""

    def __init__(self, finders: list[Any]) -> None:
        self._finders = finders

    def find_spec(self, name: str, *where: Any) -> Any:
        found = (finder.find_spec(name, *where) for finder in self._finders if name != "starlette")
        return next((spec for spec in found if spec is not None), None)


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_package_that_a_gateway_lacks_is_for_the_installer(
    name: str, eacps: Eacps, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = ("starlette", "eacps.cli.http_", "eacps.cli.mcp_", "eacps.http", "eacps.mcp")
    for module in [one for one in sys.modules if one.startswith(imported)]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [_WithoutStarlette(list(sys.meta_path))])
    done = eacps(name, *GATEWAYS[name], "--server", NOWHERE, "--listen", "127.0.0.1:0")
    assert done.exit_code == ExitCode.INSTALLATION, done.output
    assert f"pip install 'eacps[{name}]'" in done.stderr


def test_gateways_end_in_order_when_they_are_interrupted(toy: str) -> None:
    command = [sys.executable, "-m", "eacps"]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, name, *options, "--server", toy, "--listen", "127.0.0.1:0", "--json"],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
            for name, options in GATEWAYS.items()
        ]
        for process in processes:
            stack.callback(process.kill)
            assert process.stdout is not None
            assert "127.0.0.1" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
        assert [process.wait(timeout=60) for process in processes] == [ExitCode.OK] * 3


class _BrokenModels(ToyModels):
    async def generate(self, *_: object, **__: object) -> Any:
        raise TritonModelFailed("sampler", "out of memory")


ENDS = {
    "no face": ({"models": ToyModels(sees_faces=False)}, (), ExitCode.REQUEST),
    "no candidate": ({}, ("--max-evaluations", "1"), ExitCode.REQUEST),
    "a model that fails": ({"models": _BrokenModels()}, (), ExitCode.SERVER),
}
"""How a search may end without a result: parts of the server, options of the search, and who has to act."""


@pytest.mark.parametrize("how", ENDS)
def test_a_search_without_a_result_means_the_same_to_whoever_follows_it(how: str, eacps: Eacps) -> None:
    parts, options, code = ENDS[how]
    columns, values = ["scene", "character", "prompt"], ["scene.png", "character.png", "smile"]
    columns += [option.removeprefix("--") for option in options[::2]]
    Path("shots.csv").write_text(f"{','.join(columns)}\n{','.join([*values, *options[1::2]])}\n")
    with toy_server(**parts) as server:
        searched = eacps(*("search", *CALLS["search"], *options), "--server", server)
        batched = eacps(*("batch", *CALLS["batch"][:1], "--out", "batch"), "--server", server)
        search_id = eacps("submit", *CALLS["submit"], *options, "--server", server).stdout.strip()
        watched = eacps("watch", search_id, "--out", "watched", "--server", server)
        looked = [eacps(name, search_id, *CALLS[name][1:], "--server", server) for name in ("pick", "rank", "review")]
    for done in (searched, batched, watched):
        assert done.exit_code == code, done.output
    for done in looked:
        assert done.exit_code == ExitCode.REQUEST, done.output


def test_a_search_that_was_cancelled_means_the_same_to_whoever_follows_it(eacps: Eacps) -> None:
    with toy_server(models=ToyModels(duration_s=0.2)) as server:
        search_id = eacps("submit", *CALLS["submit"], "--trajectories", "64", "--server", server).stdout.strip()
        with Client(server) as client:
            client.cancel(search_id)
        watched = eacps("watch", search_id, "--out", "watched", "--server", server, "--json")
    assert watched.exit_code == ExitCode.REQUEST, watched.output
    assert json.loads(watched.stdout)["error"]["code"] == "CANCELLED"


@pytest.mark.parametrize(
    ("reason", "code", "meaning"),
    [
        ("NO_FACE_FOUND", "FAILED_PRECONDITION", ExitCode.REQUEST),
        ("CHECKPOINT_CHANGED", "FAILED_PRECONDITION", ExitCode.SERVER),
        ("SCORER_FAILED", "UNAVAILABLE", ExitCode.SERVER),
        ("STORE_FULL", "UNAVAILABLE", ExitCode.SERVER),
        ("TOO_MANY_SEARCHES", "RESOURCE_EXHAUSTED", ExitCode.SERVER),
        ("SEARCH_CANCELLED", "CANCELLED", ExitCode.REQUEST),
        ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", ExitCode.TIMEOUT),
        ("", "NOT_FOUND", ExitCode.REQUEST),
        ("", "PERMISSION_DENIED", ExitCode.REQUEST),
        ("of a proxy", "UNKNOWN", ExitCode.SERVER),
        ("", "DATA_LOSS", ExitCode.SERVER),
    ],
)
def test_what_a_server_reports_is_the_fault_of_whom_the_error_tree_says(
    reason: str, code: str, meaning: ExitCode
) -> None:
    assert exit_code_of(reason, code) is meaning
