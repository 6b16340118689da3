"""Requirements of the embedded Triton on this machine, where they are found, and how to install missing ones.

The server is the ``tritonserver`` binary inside the wheel ``nvidia-pytriton``. Only its files are used: the package is
never imported (it wants numpy 1), and nothing is written into site-packages. This module needs the standard library
alone, so that it can also run before anything is installed:

    PYTHONPATH=server python3 -m eacps.triton.installation     # interpreter and libpython only

Libraries carry no version in this module but one: the wheel's, because the stubs and tensors were measured with it.
"""

import importlib.metadata
import os
import platform
import random
import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

WHEEL = "nvidia-pytriton"
WHEEL_VERSION = "0.7.0"
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)

# Paths that a shell and the loader take as they are written.
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+@=-]+")
SHARED_MEMORY = Path("/dev/shm")
PLAIN_FOLDERS = (Path("/tmp"), Path("/var/tmp"), SHARED_MEMORY)
MIN_SHARED_MEMORY_BYTES = 64 * 2**20
MIN_DISK_BYTES = 256 * 2**20
PORTS_NEEDED = 3

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_PORT, _PORT_TRIES = 10_240, 200
_LOADER_FAILED = 127  # what a process exits with when its shared libraries cannot be found
_PROBE_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Check:
    """One thing the embedded Triton needs.

    Attributes:
        name: Stable short name (``libpython``).
        ok: Whether it is there.
        detail: What was found, or what is missing.
        remedy: Command that fixes it; empty if nothing needs fixing.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def python_version() -> str:
    """Minor version of the running interpreter, as the wheel's folders name it: ``3.11``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def libpython_name() -> str:
    """File name under which the Python backend's stub asks the loader for this interpreter's library."""
    return f"libpython{python_version()}.so.1.0"


def find_server_folder() -> Path | None:
    """The wheel's ``tritonserver`` folder (``bin/``, ``backends/``, ``python_backend_stubs/``), or None."""
    try:
        wheel = importlib.metadata.distribution(WHEEL)
    except importlib.metadata.PackageNotFoundError:
        return None
    folder = Path(str(wheel.locate_file("pytriton/tritonserver")))
    return folder if (folder / "bin" / "tritonserver").is_file() else None


def find_stub(server_folder: Path) -> Path | None:
    """The Python backend's stub for the running interpreter, or None."""
    stub = server_folder / "python_backend_stubs" / python_version() / "triton_python_backend_stub"
    return stub if stub.is_file() else None


def find_libpython() -> Path | None:
    """This interpreter's shared library: its own first, then one the system's loader knows; None if there is none."""
    for folder in _interpreter_library_folders():
        if (folder / libpython_name()).is_file():
            return folder / libpython_name()
    return _find_in_loader_cache(libpython_name())


def check_interpreter() -> Check:
    """Linux on x86-64 with a Python that the wheel carries a stub for."""
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        remedy = "run Triton on x86-64 Linux and point at it: eacps serve --triton HOST:PORT"
        return Check("interpreter", False, f"{found}; the wheel's server is for x86-64 Linux", remedy)
    if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return Check("interpreter", False, f"{found}; 3.11 to 3.13 needed", "make demo PYTHON=python3.11")
    return Check("interpreter", True, found)


def check_libpython() -> Check:
    """The interpreter's shared library, which the Python backend's stub is linked against."""
    library = find_libpython()
    if library is None:
        return Check("libpython", False, f"{libpython_name()} not found", _libpython_remedy())
    return Check("libpython", True, str(library))


def check_wheel() -> Check:
    """The wheel with the server, in the version that was measured."""
    remedy = _pip("install", "--no-deps", f"{WHEEL}=={WHEEL_VERSION}")
    try:
        version = importlib.metadata.version(WHEEL)
    except importlib.metadata.PackageNotFoundError:
        return Check("wheel", False, f"{WHEEL} {WHEEL_VERSION} is not installed", remedy)
    if version != WHEEL_VERSION:
        return Check("wheel", False, f"{WHEEL} {version} is installed, {WHEEL_VERSION} is needed", remedy)
    folder = find_server_folder()
    if folder is None:
        detail, remedy = f"{WHEEL} {version} lacks its tritonserver", remedy + " --force-reinstall"
        return Check("wheel", False, detail, remedy)
    failure = _loader_failure(folder / "bin" / "tritonserver")
    if failure:
        return Check("wheel", False, failure, "sudo apt-get install -y libstdc++6 zlib1g")
    return Check("wheel", True, f"{WHEEL} {version} in {folder}")


def check_stub() -> Check:
    """The Python backend's stub for this interpreter: there, and able to load its libraries."""
    remedy = _pip("install", "--no-deps", "--force-reinstall", f"{WHEEL}=={WHEEL_VERSION}")
    folder = find_server_folder()
    stub = find_stub(folder) if folder else None
    if stub is None:
        return Check("stub", False, f"no Python backend stub for Python {python_version()}", remedy)
    library = find_libpython()
    failure = _loader_failure(stub, library)
    if failure:
        return Check("stub", False, failure, _libpython_remedy() if library is None else remedy)
    return Check("stub", True, str(stub))


def check_shared_memory() -> Check:
    """Room in shared memory for the Python backend's regions: one for each model instance."""
    remedy = "sudo mount -o remount,size=1G /dev/shm   # in a container: docker run --shm-size=1g"
    if not os.access(SHARED_MEMORY, os.W_OK):
        return Check("shared memory", False, f"{SHARED_MEMORY} is not writable", remedy)
    free = shutil.disk_usage(SHARED_MEMORY).free
    detail = f"{free // 2**20} MiB free in {SHARED_MEMORY}, {MIN_SHARED_MEMORY_BYTES // 2**20} MiB needed"
    enough = free >= MIN_SHARED_MEMORY_BYTES
    return Check("shared memory", enough, detail, "" if enough else remedy)


def check_ports() -> Check:
    """Free ports on the loopback interface."""
    try:
        ports = find_free_ports(PORTS_NEEDED)
    except OSError as error:
        detail = f"no {PORTS_NEEDED} free ports on 127.0.0.1: {error.strerror}"
        return Check("ports", False, detail, "sudo ip link set lo up; ulimit -n 4096")
    return Check("ports", True, "free on 127.0.0.1, for instance " + ", ".join(map(str, ports)))


def check_disk(folder: Path) -> Check:
    """Room for the log and the private folder of links.

    Args:
        folder: Where they go; its nearest existing parent is measured.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    if not os.access(existing, os.W_OK):
        return Check("disk", False, f"{existing} is not writable", f"sudo chown $USER {shlex.quote(str(existing))}")
    free = shutil.disk_usage(existing).free
    detail = f"{free // 2**20} MiB free in {existing}, {MIN_DISK_BYTES // 2**20} MiB needed"
    if free < MIN_DISK_BYTES:
        return Check("disk", False, detail, f"du -xh {shlex.quote(str(existing))} | sort -h | tail   # and free some")
    return Check("disk", True, detail)


def check_model_repository(model_repository: Path) -> Check:
    """A built model repository: at least one model folder, each with a configuration and a version."""
    remedy = "make model-repository"
    models = find_models(model_repository)
    if not models:
        return Check("model repository", False, f"no models in {model_repository}", remedy)
    broken = [name for name in models if not any((model_repository / name).glob("[0-9]*/*"))]
    if broken:
        detail = f"nothing to run in {', '.join(broken)} of {model_repository}"
        return Check("model repository", False, detail, remedy)
    return Check("model repository", True, f"{len(models)} models in {model_repository}")


def find_models(model_repository: Path) -> list[str]:
    """Names of the folders that hold a ``config.pbtxt``, sorted."""
    return sorted(config.parent.name for config in model_repository.glob("*/config.pbtxt"))


def find_plain_folder(preferred: Path | None = None) -> Path | None:
    """Return a folder that may be written to and has a plain path, or None.

    Args:
        preferred: Taken if it is one; the system's temporary folder by default.
    """
    candidates = (preferred or Path(tempfile.gettempdir()), *PLAIN_FOLDERS)
    fitting = (folder for folder in candidates if PLAIN_PATH.fullmatch(str(folder)) and folder.is_dir())
    return next((folder for folder in fitting if os.access(folder, os.W_OK | os.X_OK)), None)


def check_before_installation() -> list[Check]:
    """The checks that make sense before any package is installed."""
    return [check_interpreter(), check_libpython()]


def check_installation(model_repository: Path | None = None, *, work_dir: Path | None = None) -> list[Check]:
    """Run every check, in the order in which to fix them. Takes about 0.1 s.

    Args:
        model_repository: Repository that is to be served; None leaves that check out.
        work_dir: Where the server's log and links go; the system's temporary folder by default.
    """
    checks = [*check_before_installation(), check_wheel(), check_stub(), check_shared_memory(), check_ports()]
    checks.append(check_disk(work_dir or Path(tempfile.gettempdir())))
    if model_repository is not None:
        checks.append(check_model_repository(model_repository))
    return checks


def describe_failures(checks: Sequence[Check]) -> str:
    """One line for each failing check, with its remedy; empty when all are well."""
    return "\n".join(
        f"{check.name}: {check.detail}\n    fix it with: {check.remedy}" for check in checks if not check.ok
    )


def find_free_ports(count: int) -> list[int]:
    """Return ports on 127.0.0.1 that were free a moment ago, all different. Another process may still take them first.

    They are not among those that the kernel gives to outgoing connections, as far as there are others: a server that
    is started again on its ports must find them free, and any connection on the machine might have taken one meanwhile.
    """
    quiet = list(range(_LOWEST_PORT, _first_port_of_connections()))
    candidates = random.SystemRandom().sample(quiet, min(len(quiet), _PORT_TRIES))
    with ExitStack() as stack:
        found: list[int] = []
        for port in (*candidates, *(0,) * count):
            if len(found) == count:
                break
            candidate = stack.enter_context(socket.socket())
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue  # taken
            found.append(candidate.getsockname()[1])
        return found


def _first_port_of_connections() -> int:
    """The lowest of the ports that the kernel gives to connections by itself."""
    try:
        return int(_PORT_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _LOWEST_PORT


def _interpreter_library_folders() -> list[Path]:
    names = [sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LIBPL"), str(Path(sys.base_prefix) / "lib")]
    folders = [Path(name) for name in names if name]
    multiarch = sysconfig.get_config_var("MULTIARCH")
    return folders + [folder / multiarch for folder in folders if multiarch]


def _find_in_loader_cache(library: str) -> Path | None:
    ldconfig = shutil.which("ldconfig", path=os.pathsep.join([os.environ.get("PATH", ""), "/sbin", "/usr/sbin"]))
    if ldconfig is None:
        return None
    listing = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False, timeout=_PROBE_TIMEOUT_S)
    for line in listing.stdout.splitlines():
        name, arrow, path = line.strip().partition(" => ")
        if arrow and name.split()[0] == library and "x86-64" in name:
            return Path(path)
    return None


def _loader_failure(binary: Path, library: Path | None = None) -> str:
    """The loader's message if ``binary`` cannot even load its shared libraries, else an empty string."""
    if library is None:
        return _probe(binary, dict(os.environ))
    # By a link, since the loader splits its path at colons and semicolons.
    with tempfile.TemporaryDirectory(dir=find_plain_folder()) as folder:
        Path(folder, library.name).symlink_to(library)
        known = os.environ.get("LD_LIBRARY_PATH")
        searched = os.pathsep.join([folder, *([known] if known else [])])
        return _probe(binary, {**os.environ, "LD_LIBRARY_PATH": searched})


def _probe(binary: Path, environment: dict[str, str]) -> str:
    try:
        # Neither binary does anything with this option but print a usage text and exit.
        probe = subprocess.run(
            [binary, "--help"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PROBE_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{binary} cannot be run: {error}"
    return probe.stderr.strip() if probe.returncode == _LOADER_FAILED else ""


def _libpython_remedy() -> str:
    package = f"libpython{python_version()}"
    if shutil.which("apt-get"):
        return f"sudo apt-get install -y {package}"
    if shutil.which("dnf"):
        return f"sudo dnf install -y python{python_version()}-libs"
    return f"install the package that holds {libpython_name()}, or build Python with --enable-shared"


def _pip(*arguments: str) -> str:
    return shlex.join([sys.executable, "-m", "pip", *arguments])


def main() -> int:
    """Print problems that prevent the installation; exit status 1 if there are any."""
    failures = describe_failures(check_before_installation())
    if failures:
        print(failures, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
