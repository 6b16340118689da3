"""TensorRT engines for Triton's own backend, built where they run: engines are tied to GPU and TensorRT version.

Written against the documented Python interface of TensorRT 10.13 to 11. NVIDIA's own parser and builder take every
graph (``tests/engines``); no engine has run on a GPU yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

from eacps.models.repository_check import device_name
from export.networks.network import Network
from export.parity import Answers
from export.precision import Precision
from export.targets.target import Bench, Placement, Target, TargetUnavailable

PLAN_FILE = "network.plan"

TF32_TOLERANCE = 5e-3
"""For FP32 networks, which run in TF32: its products keep 10 bits of the mantissa."""


class TensorRTTarget(Target):
    """See `export.targets.target.Target`."""

    name = "tensorrt"
    precision = Precision.BF16
    precisions = frozenset(Precision)
    fixed_shapes = True
    tolerance = TF32_TOLERANCE
    runs_onnx = False
    code = (__name__, "export.targets.engine", "export.profiles")

    def check(self) -> str:
        """Return the name of the GPU that the engines will be tied to.

        Raises:
            TargetUnavailable: There is no GPU, or no TensorRT.
        """
        if find_spec("tensorrt") is None:
            raise TargetUnavailable("TensorRT is not installed: build in the container of docker/export.Dockerfile")
        if not torch.cuda.is_available():
            raise TargetUnavailable("there is no GPU: engines are built on the GPU that will run them")
        return device_name()

    def placement(self, _network: type[Network]) -> Placement:
        """Use Triton's own backend, with memory for the profile in use, not for the largest one of every context."""
        parameters = {"execution_context_allocation_strategy": "ON_PROFILE_CHANGE"}
        return Placement("tensorrt", "KIND_GPU", file=PLAN_FILE, parameters=parameters)

    def dims(self, _version: Path) -> Mapping[str, tuple[int, ...]]:
        """Return nothing: the backend accepts -1 for any axis."""
        return {}

    def install(self, network: Network, precision: Precision, bench: Bench) -> Answers:
        """Write the graph to the scratch folder and build the engine from it."""
        from export.targets.engine import Engine, build_engine

        graph, plan = bench.scratch / "network.onnx", bench.version / PLAN_FILE
        network.write_onnx(graph, precision)
        build_engine(graph, plan, bench.profiles, _timing_cache(bench.cache), bench.watch)
        return Engine(plan, network.spec, bench.profiles).answer


def _timing_cache(folder: Path) -> Path:
    """Return the timing cache of this GPU and this version of TensorRT, the only ones that it is valid for."""
    about = f"{device_name()} {version('tensorrt')}"
    return folder / f"timing-{hashlib.sha256(about.encode()).hexdigest()[:12]}.cache"
