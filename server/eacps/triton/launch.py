"""How one embedded ``tritonserver`` is called: its folder of links, its environment, its launch_command line.

The Python stub embeds an interpreter in isolated mode: it ignores ``PYTHONPATH``, every other ``PYTHON...`` variable
and the locale, and finds its home by the first ``python3`` on the path. So it gets a virtual environment of its own,
which leads to this interpreter's packages.
"""

import os
import site
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import eacps
from eacps.errors import TritonNotInstalled
from eacps.triton import installation

# Triton reserves this much for each model instance at once, and grows a region by as much when a batch needs more. A
# dozen instances must leave room to grow within the 64 MiB that a container usually has.
SHM_REGION_BYTES = 2 * 2**20
# Variables of external judges, keys among them: the models have no business with them.
OUTSIDE_JUDGE = ("EACPS_OPENAI_", "OPENAI_")


@dataclass(frozen=True)
class Ports:
    """Ports on 127.0.0.1."""

    grpc: int
    http: int
    metrics: int


def make_scratch(preferred: Path | None = None) -> Path:
    """Make a private folder whose path a shell takes as it is written.

    The Python backend starts its stubs by a line of shell, into which it writes the paths of the model and of its own
    folder without quoting them. Other paths are reached by links from here.

    Args:
        preferred: Folder to make it in, where that has such a path; the system's temporary folder by default.

    Raises:
        TritonNotInstalled: No folder with such a path may be written to.
    """
    folder = installation.find_plain_folder(preferred)
    if folder is None:
        names = ", ".join(map(str, installation.PLAIN_FOLDERS))
        raise TritonNotInstalled(f"neither the temporary folder nor {names} may be written to and has a plain path")
    return Path(tempfile.mkdtemp(prefix="eacps-triton-", dir=folder))


def link_parts(scratch: Path, model_repository: Path) -> None:
    """Lay links to the wheel's parts in ``scratch``, as the server wants them: the stub beside its backend.

    Args:
        scratch: Empty private folder, as `make_scratch` makes it. ``backends/python`` gets the Python backend with this
            interpreter's stub, ``lib`` this interpreter's library alone, so that nothing else beside it gets on the
            loader's path, ``python`` the stub's virtual environment, ``models`` is the repository.
        model_repository: Folder of models.

    Raises:
        TritonNotInstalled: A part is missing; ``installation.check_installation`` says more.
    """
    server_folder = _server_folder()
    stub, libpython = installation.find_stub(server_folder), installation.find_libpython()
    if stub is None or libpython is None:
        raise TritonNotInstalled(f"no Python backend for Python {installation.python_version()}")
    backend = scratch / "backends" / "python"
    backend.mkdir(parents=True)
    for part in (server_folder / "backends" / "python").iterdir():
        if part.is_file():
            (backend / part.name).symlink_to(part)
    (backend / stub.name).symlink_to(stub)
    (scratch / "lib").mkdir()
    (scratch / "lib" / installation.libpython_name()).symlink_to(libpython)
    _lay_virtual_environment(scratch / "python")
    (scratch / "models").symlink_to(model_repository)


def environment(scratch: Path) -> dict[str, str]:
    """This process's environment without its secrets, changed so that the stub finds its library and its packages."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE_JUDGE)}
    return inherited | {
        "PATH": _prepend(scratch / "python" / "bin", inherited.get("PATH")),
        "LD_LIBRARY_PATH": _prepend(scratch / "lib", inherited.get("LD_LIBRARY_PATH")),
    }


def launch_command(scratch: Path, ports: Ports, shm_prefix: str, extra_args: Sequence[str]) -> list[str]:
    """The server's launch_command line.

    Configurations are taken as they are written (``disable-auto-complete-config``): they are generated from the tensor
    contract, so there is nothing to complete, and Triton would start every Python model twice to ask it.
    """
    return [
        str(_server_folder() / "bin" / "tritonserver"),
        f"--model-repository={scratch / 'models'}",
        f"--backend-directory={scratch / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        f"--backend-config=python,shm-default-byte-size={SHM_REGION_BYTES}",
        f"--backend-config=python,shm-growth-byte-size={SHM_REGION_BYTES}",
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--exit-on-error=true",
        "--strict-readiness=true",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={ports.grpc}",
        "--http-address=127.0.0.1",
        f"--http-port={ports.http}",
        "--metrics-address=127.0.0.1",
        f"--metrics-port={ports.metrics}",
        *extra_args,
    ]


def _server_folder() -> Path:
    folder = installation.find_server_folder()
    if folder is None:
        raise TritonNotInstalled(f"{installation.WHEEL} is not installed")
    return folder


# Isolation would also leave the models with ASCII for text files and output, and with output that shows up late.
_SITE_CUSTOMIZE = """\
import locale
import os
import site
import sys

locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(encoding="utf-8", line_buffering=True)
sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
for folder in {folders!r}:
    site.addsitedir(folder)
"""


def _lay_virtual_environment(folder: Path) -> None:
    version = f"python{installation.python_version()}"
    packages = folder / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    base = _in_ascii(Path(sys.base_prefix), folder / "base")
    (folder / "pyvenv.cfg").write_text(f"home = {base / 'bin'}\ninclude-system-site-packages = false\n")
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").symlink_to(base / "bin" / version)
    found = enumerate(_package_folders())
    folders = [str(_in_ascii(target, folder / f"packages-{number}")) for number, target in found]
    (packages / "sitecustomize.py").write_text(_SITE_CUSTOMIZE.format(folders=folders), encoding="ascii")


def _in_ascii(target: Path, link: Path) -> Path:
    """Return a path to ``target`` for an isolated interpreter, which knows ASCII alone: a link where need be."""
    if str(target).isascii():
        return target
    link.symlink_to(target)
    return link


def _package_folders() -> list[Path]:
    folders = [*site.getsitepackages(), str(Path(eacps.__file__).parent.parent)]
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    return [path for path in map(Path, folders) if path.is_dir()]


def _prepend(entry: Path, known: str | None) -> str:
    return os.pathsep.join([str(entry), known]) if known else str(entry)
