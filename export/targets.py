"""What a repository is built for: which Triton backend runs the networks, and what of them it is given.

The names and tensors of the models are the same for every target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eacps.models.onnx_leaf import NETWORK_FILE
from export.networks.network import Network


@dataclass(frozen=True)
class Target:
    """One kind of repository.

    Args:
        name: As given to ``--target``.
        network_backend: Triton's backend for the leaf networks; programs always run in the Python backend.
        install: Puts a network into the version folder of its model and returns the ONNX graph that the parity gate is
            to test.
    """

    name: str
    network_backend: str
    install: Callable[[Network, Path], Path]


def _install_onnx(network: Network, version: Path) -> Path:
    path = version / NETWORK_FILE
    network.write_onnx(path)
    return path


# For the embedded server, whose wheel has no backend but Python's: an adapter serves the graph with ONNX Runtime.
EMBEDDED = Target("embedded", network_backend="python", install=_install_onnx)

TARGETS = {target.name: target for target in (EMBEDDED,)}
