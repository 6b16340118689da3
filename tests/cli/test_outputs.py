"""Commands as processes whose files, outputs, encodings or keys are not in order: exit codes as documented."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from eacps.cli.exit_codes import ExitCode
from tests.cli.searches import picture

EACPS = (sys.executable, "-c", "from eacps.cli.app import main; main()")
SMALL = ("--global-candidates", "4", "--parents", "1", "--children", "2", "--seed", "5")
LIMIT_S = 120.0
NOBODY = "127.0.0.1:1"
WITHOUT_A_SERVER = ("version", "--help")
LISTS = ('list --server "$1"', 'list --server "$1" --json')


def run(
    *words: object, environment: Mapping[str, str] | None = None, prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end, its words as they are; it must not print a traceback."""
    command = [*prefix, *EACPS, *(word if isinstance(word, bytes) else str(word) for word in words)]
    done = subprocess.run(
        command, env={**os.environ, **(environment or {})}, capture_output=True, timeout=LIMIT_S, check=False
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    assert done.returncode != ExitCode.BUG
    return done


def shell(script: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which ``eacps`` is the command; it must not print a traceback."""
    line = f'eacps() {{ "{sys.executable}" -c "from eacps.cli.app import main; main()" "$@"; }}; {script}'
    done = subprocess.run(["bash", "-c", line, "bash", *words], capture_output=True, timeout=LIMIT_S, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    assert b"Exception ignored" not in done.stderr
    return done


@pytest.fixture
def asked(pictures: tuple[str, str]) -> tuple[str, ...]:
    """A search that nobody answers."""
    return ("search", *pictures, "--server", NOBODY)


@pytest.mark.parametrize(
    "key", ["a\rb", "a\nb", "schl\u00fcssel", "a b", "schl\udcfcssel"], ids=["CR", "LF", "umlaut", "space", "no UTF-8"]
)
def test_a_key_that_no_header_can_carry_is_named_and_not_shown(key: str) -> None:
    done = run("list", "--server", NOBODY, "--json", environment={"EACPS_API_KEY": key})
    assert done.returncode == ExitCode.REQUEST
    assert json.loads(done.stdout)["error"]["violations"][0]["field"] == "EACPS_API_KEY"
    assert key.encode(errors="surrogateescape") not in done.stderr + done.stdout


def test_white_space_around_a_key_is_no_part_of_it() -> None:
    assert run("list", "--server", NOBODY, environment={"EACPS_API_KEY": "key\r\n"}).returncode == ExitCode.SERVER


class TestFiles:
    """What cannot be written, or read."""

    def test_a_folder_that_cannot_be_made(self, asked: tuple[str, ...], tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.touch()
        done = run(*asked, "--prompt", "smile", "--out", file / "out")
        assert done.returncode == ExitCode.REQUEST
        assert b"Not a directory" in done.stderr

    def test_a_device_without_an_end_is_no_picture(self, pictures: tuple[str, str], tmp_path: Path) -> None:
        done = run("search", "/dev/zero", pictures[1], "--prompt", "x", "--server", NOBODY, "--out", tmp_path / "o")
        assert done.returncode == ExitCode.REQUEST
        assert b"larger than 256 MiB" in done.stderr

    def test_a_picture_may_come_through_a_pipe(self, toy: str, pictures: tuple[str, str], tmp_path: Path) -> None:
        script = 'eacps submit <(cat "$1") "$2" --prompt smile --trajectories 2 --server "$3"'
        assert shell(script, *pictures, toy).returncode == ExitCode.OK

    @pytest.mark.parametrize("words", [("key", "studio", "--api-keys"), ("serve", "--insecure", "--data")])
    def test_where_nothing_can_be_made(self, words: tuple[str, ...]) -> None:
        done = run(*words, "/proc/nothing", *(("--triton", NOBODY) if words[0] == "serve" else ()))
        assert done.returncode == ExitCode.REQUEST
        assert b"No such file or directory" in done.stderr

    def test_a_file_of_keys_that_is_a_device(self) -> None:
        assert run("key", "studio", "--api-keys", "/dev/zero").returncode == ExitCode.REQUEST

    def test_a_log_file_that_cannot_be_written(self, model_repository_dir: Path) -> None:
        words = ("--model-repository", model_repository_dir, "--listen", "127.0.0.1:0", "--insecure")
        done = run("up", *words, "--log-file", "/proc/nothing/triton.log")
        assert done.returncode == ExitCode.REQUEST
        assert b"cannot write /proc/nothing/triton.log" in done.stderr

    def test_a_full_disk_while_a_result_is_written(self, toy: str, pictures: tuple[str, str], tmp_path: Path) -> None:
        out = mounted(tmp_path, "size=16k")
        done = run("search", *pictures, "--prompt", "smile", *SMALL, "--server", toy, "--out", out[1], prefix=out[0])
        assert done.returncode == ExitCode.INSTALLATION
        assert b"No space left on device" in done.stderr

    @pytest.mark.parametrize("command", ["search", "key", "serve"])
    def test_a_folder_that_is_read_only(self, command: str, asked: tuple[str, ...], tmp_path: Path) -> None:
        prefix, folder = mounted(tmp_path, "ro")
        words: dict[str, tuple[object, ...]] = {
            "search": (*asked, "--prompt", "smile", "--out", folder),
            "key": ("key", "studio", "--api-keys", folder / "keys.json"),
            "serve": ("serve", "--insecure", "--triton", NOBODY, "--data", folder / "data"),
        }
        done = run(*words[command], prefix=prefix)
        assert done.returncode == ExitCode.REQUEST
        assert b"Read-only file system" in done.stderr


def mounted(tmp_path: Path, options: str) -> tuple[tuple[str, ...], Path]:
    """Words before a command that mount a file system for it alone, and where; skips where that is not allowed."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    prefix = ("unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o {options} tmpfs "{folder}" && exec "$@"', "sh")
    tried = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False, timeout=LIMIT_S)
    if tried.returncode != 0:
        pytest.skip(f"this machine lets nobody mount: {tried.stderr.strip()}")
    return prefix, folder


class TestOutputs:
    """Standard output that is closed, full, or read only in part."""

    @pytest.mark.parametrize("words", [*WITHOUT_A_SERVER, "search --help", *LISTS])
    def test_a_reader_that_goes_away(self, words: str, toy: str) -> None:
        done = shell(f"set -o pipefail; eacps {words} | true; echo ${{PIPESTATUS[0]}}", toy)
        assert done.stdout.decode().split()[-1] in ("0", "141"), done.stderr
        assert not done.stderr

    def test_a_reader_that_is_gone_already(self, toy: str) -> None:
        done = shell('(sleep 0.2; eacps list --server "$1"; echo $? >&2) | exec 0<&-', toy)
        assert done.stderr.decode().split() == ["141"]

    @pytest.mark.parametrize("words", [*WITHOUT_A_SERVER, "doctor", *LISTS])
    def test_a_disk_that_is_full(self, words: str, toy: str) -> None:
        done = shell(f"eacps {words} > /dev/full", toy)
        assert done.returncode == ExitCode.INSTALLATION
        assert b"cannot write to standard output: No space left on device" in done.stderr

    def test_a_picture_to_a_disk_that_is_full(self, toy: str, pictures: tuple[str, str], tmp_path: Path) -> None:
        words = ("search", *pictures, "--prompt", "smile", *SMALL, "--server", toy, "--out", tmp_path / "o", "--json")
        best = json.loads(run(*words).stdout)["best"]["artifact"]
        done = run("download", best, "/dev/full", "--server", toy)
        assert done.returncode == ExitCode.INSTALLATION
        assert b"cannot write /dev/full: No space left on device" in done.stderr

    def test_outputs_that_are_closed(self, toy: str) -> None:
        assert shell('eacps list --server "$1" >&-', toy).returncode == ExitCode.OK
        assert shell('eacps list --server "$1" >&- 2>&-', NOBODY).returncode == ExitCode.SERVER
        assert shell('eacps list --server "$1" 2>/dev/full', NOBODY).returncode == ExitCode.INSTALLATION


class TestEncodings:
    """Command lines and outputs in other encodings than UTF-8."""

    @pytest.mark.parametrize(
        "environment",
        [
            {"PYTHONIOENCODING": "ascii"},
            {"PYTHONIOENCODING": "latin-1"},
            {"LC_ALL": "C"},
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii:strict"},
        ],
        ids=lambda one: " ".join(f"{name}={value}" for name, value in one.items()),
    )
    def test_a_result_can_be_printed_in_any(
        self, environment: dict[str, str], toy: str, pictures: tuple[str, str], tmp_path: Path
    ) -> None:
        words = ("search", *pictures, "--prompt", "l\u00e4chle, bitte \U0001f600".encode(), *SMALL, "--server", toy)
        done = run(*words, "--overwrite", "--out", tmp_path / "o", "--json", environment=environment)
        assert done.returncode == ExitCode.OK, done.stderr
        encoding = environment.get("PYTHONIOENCODING", "utf-8").partition(":")[0]
        assert json.loads(done.stdout.decode(encoding))["request"]["prompt"] == "l\u00e4chle, bitte \U0001f600"
        table = run(*words, "--overwrite", "--out", tmp_path / "o", environment=environment)
        assert table.returncode == ExitCode.OK, table.stderr
        assert b"over the first seed" in table.stdout

    def test_names_of_files_may_be_any_bytes(self, toy: str, tmp_path: Path) -> None:
        folder = os.fsencode(tmp_path)
        scene, out = folder + b"/sc\xe4ne.png", folder + b"/out\xff"
        for path in (scene, folder + b"/character.png"):
            Path(os.fsdecode(path)).write_bytes(picture(10))
        words = ("search", scene, folder + b"/character.png", "--prompt", "smile", *SMALL, "--server", toy)
        done = run(*words, "--out", out)
        assert done.returncode == ExitCode.OK, done.stderr
        assert (Path(os.fsdecode(out)) / "best.png").exists()
        scored = run("score", scene, scene, scene, "--prompt", "smile", "--server", toy)
        assert scored.returncode == ExitCode.OK, scored.stderr
        missing = run("score", scene, scene, folder + b"/n\xf6.png", "--prompt", "smile", "--server", toy)
        assert missing.returncode == ExitCode.REQUEST

    @pytest.mark.parametrize(
        "words",
        [
            ("--prompt", b"l\xe4chle"),
            ("--prompt", "smile", "--negative-prompt", b"\xff"),
            ("--prompt", "smile", "--ask", b"triton.hat=h\xfct?"),
            ("--prompt", "smile", "--weight", b"identit\xe4t=1"),
            ("--prompt", "smile", "--held-out", b"\xff"),
            ("--prompt", "smile", "--scene-face", b"\xff,1,2,3"),
        ],
        ids=lambda words: str(words[-2]),
    )
    def test_text_that_is_no_utf8_cannot_be_sent(self, asked: tuple[str, ...], words: tuple[object, ...]) -> None:
        assert run(*asked, *words).returncode == ExitCode.REQUEST

    @pytest.mark.parametrize("words", [("watch", b"\xff"), ("list", "--label", b"a=\xff"), ("key", b"st\xfcdio")])
    def test_nor_can_names(self, words: tuple[object, ...], tmp_path: Path) -> None:
        place = ("--api-keys", tmp_path / "keys.json") if words[0] == "key" else ("--server", NOBODY)
        assert run(*words, *place).returncode == ExitCode.REQUEST
