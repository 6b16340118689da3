"""What commands share: help, settings, doctor, exit codes, signals."""

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from eacps.cli.composition import DEFAULT_MODEL_REPOSITORY, Composition
from eacps.cli.demo import demo_request
from eacps.cli.doctor import MODEL_PACKAGES, check_calibration, check_manifest, report
from eacps.cli.exit_codes import ExitCode
from eacps.cli.interrupts import run_cancellable, terminable
from eacps.cli.outcome import CommandFailed, Terminated, command_failed_of, reported
from eacps.client import ClientTls
from eacps.errors import (
    DeadlineExceeded,
    EacpsError,
    FieldViolation,
    InvalidRequest,
    NoFaceFound,
    TritonNotInstalled,
    TritonUnavailable,
)
from eacps.manifest import CalibrationRecord, Manifest
from eacps.triton.installation import Check
from tests.cli.conftest import toy_server

Eacps = Callable[..., Any]
SAMPLES = Path(__file__).parents[2] / "studio_mini" / "samples"


def test_help_lists_the_commands_and_what_exit_codes_mean(eacps: Eacps) -> None:
    text = eacps("--help").stdout
    assert all(command in text for command in ("up", "serve", "search", "demo", "doctor", "key"))
    assert all(f"{code.value} " in text for code in ExitCode)


def test_help_needs_neither_grpc_nor_numpy() -> None:
    code = "import sys, eacps.cli.app; print({'grpc', 'numpy', 'PIL', 'openai', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_commands_that_only_call_a_server_import_nothing_that_draws_or_computes() -> None:
    heavy = "{'numpy', 'PIL', 'eacps.drawing', 'pyarrow', 'openai', 'torch', 'sqlalchemy'}"
    calling = (
        "eacps.cli.batch, eacps.cli.shot_list, eacps.cli.stored_searches, eacps.cli.candidates, eacps.cli.searching"
    )
    code = f"import sys, {calling}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_settings_come_from_the_environment_and_options_win() -> None:
    environment = {
        "EACPS_MODEL_REPOSITORY": "/models",
        "EACPS_SERVER": "there:1",
        "EACPS_TRITON": "triton:8001",
        "EACPS_ADDRESS": "",
    }
    found = Composition.from_environment(environment)
    assert found.model_repository == Path("/models")
    assert (found.server, found.settings.triton) == ("there:1", "triton:8001")
    assert found.settings.address == "127.0.0.1:50051"
    given = found.with_options(server="here:2", address="0.0.0.0:9")
    assert (given.server, given.settings.address, given.settings.triton) == ("here:2", "0.0.0.0:9", "triton:8001")
    assert Composition.from_environment({}).model_repository == DEFAULT_MODEL_REPOSITORY


def test_an_option_for_tls_replaces_its_own_setting_and_no_other() -> None:
    names = {"EACPS_SERVER_TLS_CA": "ca", "EACPS_SERVER_TLS_CERTIFICATE": "mine", "EACPS_SERVER_TLS_KEY": "key"}
    found = Composition.from_environment(names)
    given = found.with_options(tls_files=("other", None, None)).server_tls
    assert given == ClientTls(Path("other"), Path("mine"), Path("key"))
    system = found.with_options(tls_files=("system", None, None)).server_tls
    assert system == ClientTls(None, Path("mine"), Path("key"))
    assert Composition.from_environment({}).server_tls is None


def test_where_metrics_are_served_is_an_option_too() -> None:
    known = Composition.from_environment({"EACPS_METRICS": "127.0.0.1:9400"})
    assert known.settings.metrics == "127.0.0.1:9400"
    assert known.with_options(metrics="127.0.0.1:9401").settings.metrics == "127.0.0.1:9401"
    assert Composition().with_options().settings.metrics is None


def test_the_usual_name_of_the_key_is_read_too() -> None:
    def keys(environment: dict[str, str]) -> list[str]:
        return [judge.api_key for judge in Composition.from_environment(environment).settings.judges]

    openai = {"EACPS_OPENAI_BASE_URL": "http://judge/v1", "EACPS_OPENAI_MODEL": "vlm", "OPENAI_API_KEY": "k1"}
    assert keys(openai) == ["k1"]
    assert keys({**openai, "EACPS_OPENAI_API_KEY": "k2"}) == ["k2"]
    assert keys({"OPENAI_API_KEY": "k1"}) == []
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        assert keys({"EACPS_GEMINI_MODEL": "gemini-9", name: "k3"}) == ["k3"]


def test_a_malformed_setting_is_named(eacps: Eacps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EACPS_GRACE_S", "soon")
    result = eacps("doctor", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["violations"][0]["field"] == "EACPS_GRACE_S"


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (InvalidRequest([FieldViolation("prompt", "is empty")]), ExitCode.REQUEST),
        (NoFaceFound("scene"), ExitCode.REQUEST),
        (TritonUnavailable("gone"), ExitCode.SERVER),
        (TritonNotInstalled("wheel: missing"), ExitCode.INSTALLATION),
        (DeadlineExceeded("late"), ExitCode.TIMEOUT),
    ],
)
def test_errors_of_the_tree_have_their_exit_codes(error: EacpsError, exit_code: ExitCode) -> None:
    assert command_failed_of(error).exit_code is exit_code


@pytest.mark.parametrize(("stop", "exit_code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_being_stopped_has_the_shells_codes(stop: type[BaseException], exit_code: int) -> None:
    with pytest.raises(SystemExit) as ended, reported(Console(stderr=True)):
        raise stop
    assert ended.value.code == exit_code


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), reported(Console(stderr=True)):
        _ = 1 / 0


@pytest.mark.usefixtures("_in_a_terminal")
@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated), (signal.SIGHUP, Terminated)],
)
def test_signals_cancel_the_work_and_wait_for_it_to_clean_up(
    number: signal.Signals, raised: type[BaseException]
) -> None:
    cleaned = []

    async def work() -> None:
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), number)
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.05)
            cleaned.append(True)

    with terminable(), pytest.raises(raised):
        run_cancellable(work)
    assert cleaned == [True]


@pytest.mark.usefixtures("_in_a_terminal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_outside_the_loop_a_signal_raises_at_once(number: signal.Signals) -> None:
    with pytest.raises(Terminated), terminable():
        signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_DFL


def test_who_was_started_by_nohup_minds_no_end_of_a_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def work() -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        return "done"

    try:
        with terminable():
            assert run_cancellable(work) == "done"
    finally:
        signal.signal(signal.SIGHUP, before)


def test_doctor_names_what_is_missing_and_what_mends_it(eacps: Eacps, tmp_path: Path) -> None:
    result = eacps("doctor", "--model-repository", tmp_path, "--json")
    assert result.exit_code == ExitCode.INSTALLATION
    told = json.loads(result.stdout)
    checks = {check["name"]: check for check in told["checks"]}
    assert {"interpreter", "libpython", "wheel", "ports", "disk", "model packages"} <= set(checks)
    assert not told["ok"]
    assert checks["model repository"] == {
        "name": "model repository",
        "ok": False,
        "detail": f"no models in {tmp_path}",
        "remedy": "make model-repository",
    }
    text = eacps("doctor", "--model-repository", tmp_path).stdout
    assert "fix it with: make model-repository" in " ".join(text.split())


def test_doctor_is_content_where_nothing_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert report([Check("wheel", True, "there")], Console(), as_json=False) is ExitCode.OK
    assert "everything is in place" in capsys.readouterr().out


def test_doctor_looks_for_packages_without_importing_them() -> None:
    code = "import sys; from eacps.cli.doctor import check_model_packages as c; print(c().ok, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["True", "False"], MODEL_PACKAGES


def test_the_demo_searches_with_ordinary_seeds() -> None:
    request = demo_request(SAMPLES, "smile")
    assert (request.search.random_seed, request.search.first_seed) == (0, 0)
    assert request.scene.data
    assert request.prompt


def test_a_sample_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="smile"):
        demo_request(SAMPLES, "frown")
    with pytest.raises(CommandFailed, match="clone of the repository"):
        demo_request(tmp_path, "smile")


def test_doctor_tells_what_identity_scores_mean(model_repository_dir: Path) -> None:
    manifest = Manifest.read(model_repository_dir)
    assert manifest is not None
    assert check_calibration(manifest).detail == (
        "identity runs from 0.004 (0) to 0.882 (1); identity_heldout runs from 0.001 (0) to 0.802 (1)"
    )
    other = {name: CalibrationRecord("measured with another face_recognizer") for name in ("identity", "landscape")}
    told = check_calibration(dataclasses.replace(manifest, calibration=other)).detail
    assert "identity is the raw cosine (measured with another face_recognizer; python -m export.calibrate" in told
    assert told.endswith("; without landscape")


def test_doctor_tells_what_the_repository_was_made_of(model_repository_dir: Path, tmp_path: Path) -> None:
    check = check_manifest(model_repository_dir)
    assert check.ok
    assert "studio-mini, with a judge of its own, embedded in fp32, build " in check.detail
    assert "furthest from its original: " in check.detail
    broken = check_manifest(tmp_path)
    assert not broken.ok
    assert "has no readable manifest.json" in broken.detail
    assert "-m export" in broken.remedy


def test_health_says_whether_a_server_answers_and_is_ready(eacps: Eacps, toy: str) -> None:
    for words in ((), ("--live",)):
        assert eacps("health", "--server", toy, *words).exit_code == 0
    nobody = eacps("health", "--server", "127.0.0.1:9", "--live", "--json")
    assert (nobody.exit_code, json.loads(nobody.stdout)["error"]["code"]) == (3, "UNAVAILABLE")


def test_a_server_whose_triton_is_away_is_live_and_not_ready(eacps: Eacps) -> None:
    with toy_server(is_ready=False) as address:
        assert eacps("health", "--server", address, "--live").exit_code == 0
        assert eacps("health", "--server", address).exit_code == 3
