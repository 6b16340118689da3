"""What a repository is built for: which Triton backend runs the networks, and what of them it is given.

The names and tensors of the models are the same for every target.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eacps.models.onnx_leaf import NETWORK_FILE
from export.networks.network import Network

ADAPTERS = Path(__file__).resolve().parents[1] / "model_repository"


@dataclass(frozen=True)
class Target:
    """One kind of repository.

    Args:
        name: As given to ``--target``.
        network_backend: Triton's backend for the leaf networks; programs always run in the Python backend.
        install: Puts a network into the empty version folder of its model and returns the ONNX graph that the
            parity gate is to test.
    """

    name: str
    network_backend: str
    install: Callable[[Network, Path], Path]


def _install_onnx_in_python(network: Network, version: Path) -> Path:
    """Write the graph beside the adapter that serves it with ONNX Runtime."""
    copy_adapter(network.spec.name, version)
    path = version / NETWORK_FILE
    network.write_onnx(path)
    return path


def copy_adapter(model: str, version: Path) -> None:
    """Copy the checked-in ``model.py`` of ``model`` into a version folder.

    Raises:
        FileNotFoundError: The checked-in repository has no adapter for the model.
    """
    shutil.copyfile(ADAPTERS / model / "1" / "model.py", version / "model.py")


# For the embedded server, whose wheel has no backend but Python's.
EMBEDDED = Target("embedded", network_backend="python", install=_install_onnx_in_python)

TARGETS = {target.name: target for target in (EMBEDDED,)}
