"""What the embedded Triton needs is found where it is, and named with its remedy where it is not."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from eacps.triton import installation
from eacps.triton.installation import Check

SCRIPT = Path(installation.__file__)
MIB = 2**20


def named(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def build_model(repository: Path, name: str) -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1" / "model.py").write_text("")
    (repository / name / "config.pbtxt").write_text(f'name: "{name}"')


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter without the wheel: its metadata are asked for under a name that nothing has."""
    monkeypatch.setattr(installation, "WHEEL", "no-such-distribution")


def test_this_machine_has_everything(tmp_path: Path) -> None:
    build_model(tmp_path, "echo")
    checks = installation.check_installation(tmp_path)
    assert installation.describe_failures(checks) == ""
    assert [check.name for check in checks] == [
        "interpreter",
        "libpython",
        "wheel",
        "stub",
        "shared memory",
        "ports",
        "disk",
        "model repository",
    ]
    assert all(check.detail and not check.remedy for check in checks)


def test_finding_the_parts_imports_nothing_of_the_wheel() -> None:
    code = (
        "import sys; from eacps.triton import installation as i; i.check_installation();"
        "assert 'pytriton' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.usefixtures("no_wheel")
def test_missing_wheel_is_named_with_the_command_that_installs_it() -> None:
    checks = installation.check_installation()
    wheel = named(checks, "wheel")
    assert not wheel.ok
    assert "is not installed" in wheel.detail
    assert wheel.remedy == f"{sys.executable} -m pip install --no-deps no-such-distribution==0.7.0"
    assert not named(checks, "stub").ok
    assert wheel.remedy in installation.describe_failures(checks)


def test_another_version_of_the_wheel_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "WHEEL", "pip")
    wheel = installation.check_wheel()
    assert not wheel.ok
    assert f"pip {importlib.metadata.version('pip')} is installed, 0.7.0 is needed" in wheel.detail


def test_missing_libpython_is_named_with_the_package_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "libpython_name", lambda: "libpython3.99.so.1.0")
    check = installation.check_libpython()
    assert not check.ok
    assert "libpython3.99.so.1.0 not found" in check.detail
    assert f"libpython{installation.python_version()}" in check.remedy


def test_stub_that_cannot_load_its_libraries_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    # The wheel carries a stub for 3.8 as well, whose library hardly any machine still has.
    monkeypatch.setattr(installation, "python_version", lambda: "3.8")
    monkeypatch.setattr(installation, "find_libpython", lambda: None)
    check = installation.check_stub()
    assert not check.ok
    assert "libpython3.8.so.1.0" in check.detail


def test_interpreter_out_of_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "NEWEST_PYTHON", (3, 10))
    check = installation.check_interpreter()
    assert not check.ok
    assert check.remedy.startswith("make demo PYTHON=")


@pytest.mark.parametrize(("needed", "ok"), [(1, True), (2**60, False)])
def test_room_in_shared_memory_and_on_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, needed: int, ok: bool
) -> None:
    monkeypatch.setattr(installation, "MIN_SHARED_MEMORY_BYTES", needed)
    monkeypatch.setattr(installation, "MIN_DISK_BYTES", needed)
    for check in (installation.check_shared_memory(), installation.check_disk(tmp_path / "not" / "yet" / "made")):
        assert check.ok == ok
        assert bool(check.remedy) != ok


def test_model_repository_not_built(tmp_path: Path) -> None:
    check = installation.check_model_repository(tmp_path / "none")
    assert (check.ok, check.remedy) == (False, "make model-repository")


def test_model_without_a_version_is_named(tmp_path: Path) -> None:
    build_model(tmp_path, "whole")
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "config.pbtxt").write_text('name: "hollow"')
    check = installation.check_model_repository(tmp_path)
    assert not check.ok
    assert "hollow" in check.detail
    assert "whole" not in check.detail


def test_free_ports_are_all_different() -> None:
    assert len(set(installation.find_free_ports(20))) == 20


def test_ports_are_not_those_of_outgoing_connections() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if lowest > 20_000:
        assert all(10_240 <= port < lowest for port in installation.find_free_ports(20))


def test_where_connections_have_all_ports_any_free_one_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "range").write_text("1024 65535")
    monkeypatch.setattr(installation, "_PORT_RANGE", tmp_path / "range")
    assert len(set(installation.find_free_ports(3))) == 3


def test_runs_as_a_script_before_anything_is_installed() -> None:
    base_interpreter = Path(sys.base_prefix) / "bin" / f"python{installation.python_version()}"
    subprocess.run([base_interpreter, "-I", "-S", SCRIPT], check=True)
