"""The engine's builder against a double of TensorRT's documented Python interface, versions 10 and 11.

What the parser and the builder themselves take, ``tests/engines`` asks the real ones, through their C++ interface.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from export.profiles import Profile
from export.targets import EngineFailed

PROFILES = [
    Profile({"x": (1, 8)}, {"x": (4, 8)}, {"x": (4, 8)}),
    Profile({"x": (1, 16)}, {"x": (4, 16)}, {"x": (4, 16)}),
]


class Config:
    """An IBuilderConfig: takes a timing cache of this version only."""

    def __init__(self) -> None:
        self.profiles: list[dict[str, Any]] = []
        self.cache: bytes | None = None
        self.progress_monitor: Any = None

    def add_optimization_profile(self, profile: Any) -> int:
        """Return the profile's index, or -1 for one that is refused, as ``addOptimizationProfile`` does."""
        if not all(low <= usual <= high for low, usual, high in profile.shapes.values()):
            return -1
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1

    def create_timing_cache(self, contents: bytes) -> bytes:
        return contents

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        if cache not in (b"", b"mine"):
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return None if self.cache is None else SimpleNamespace(serialize=lambda: b"mine")


class Builder:
    """An IBuilder: goes through two phases, and builds unless its monitor says stop."""

    config: Config
    known_flags: int
    fails = False

    def __init__(self, _logger: object) -> None:
        type(self).config = Config()

    def create_network(self, flags: int) -> int | None:
        return flags if flags | self.known_flags == self.known_flags else None

    def create_builder_config(self) -> Config:
        return self.config

    def create_optimization_profile(self) -> Any:
        shapes: dict[str, Any] = {}
        return SimpleNamespace(
            shapes=shapes, set_shape=lambda name, low, usual, high: shapes.update({name: (low, usual, high)})
        )

    def build_serialized_network(self, _network: int, config: Config) -> bytes | None:
        monitor = config.progress_monitor
        monitor.phase_start("build", None, 2)
        went_on = all(monitor.step_complete("build", step) for step in range(2))
        monitor.phase_finish("build")
        return None if self.fails or not went_on else b"engine"


class Parser:
    """An OnnxParser: reads files that hold ``onnx``."""

    num_errors = 1

    def __init__(self, network: int, _logger: object) -> None:
        assert network is not None

    def parse_from_file(self, path: str) -> bool:
        return Path(path).read_bytes() == b"onnx"

    def get_error(self, _number: int) -> str:
        return "no such operator"


# Flags of a network by version. TensorRT 11 dropped one, and refuses bits that it does not know.
FLAGS = {
    "10.13.3.9": IntEnum("NetworkDefinitionCreationFlag", {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}),
    "11.4.0.106": IntEnum("NetworkDefinitionCreationFlag", {"STRONGLY_TYPED": 0}),
}


@pytest.fixture(params=FLAGS)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    double = ModuleType("tensorrt")
    logger = type("Logger", (), {"WARNING": 1, "__init__": lambda self, level: None})
    flags = FLAGS[request.param]
    for name, value in {
        "__version__": request.param,
        "Logger": logger,
        "Builder": type("Builder", (Builder,), {"known_flags": sum(1 << flag for flag in flags)}),
        "OnnxParser": Parser,
        "NetworkDefinitionCreationFlag": flags,
        "IProgressMonitor": type("IProgressMonitor", (), {}),
    }.items():
        setattr(double, name, value)
    monkeypatch.setitem(sys.modules, "tensorrt", double)
    monkeypatch.delitem(sys.modules, "export.targets.engine", raising=False)
    import export.targets.engine as module

    yield module
    sys.modules.pop("export.targets.engine", None)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "network.onnx"
    path.write_bytes(b"onnx")
    return path


def build(engine: ModuleType, graph: Path, watch: Any = lambda *_: None) -> Path:
    plan: Path = graph.with_name("network.plan")
    engine.build_engine(graph, plan, PROFILES, graph.with_name("timing.cache"), watch)
    return plan


def test_a_profile_for_each_bucket_and_every_step_told(engine: ModuleType, graph: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    plan = build(engine, graph, lambda *step: steps.append(step))
    assert plan.read_bytes() == b"engine"
    assert engine.trt.Builder.config.profiles == [
        {"x": ((1, 8), (4, 8), (4, 8))},
        {"x": ((1, 16), (4, 16), (4, 16))},
    ]
    assert steps == [("build", 1, 2), ("build", 2, 2)]
    assert graph.with_name("timing.cache").read_bytes() == b"mine"


@pytest.mark.parametrize(("earlier", "used"), [(b"mine", b"mine"), (b"of another TensorRT", b"")])
def test_a_timing_cache_of_another_version_is_begun_anew(
    engine: ModuleType, graph: Path, earlier: bytes, used: bytes
) -> None:
    graph.with_name("timing.cache").write_bytes(earlier)
    assert build(engine, graph).read_bytes() == b"engine"
    assert engine.trt.Builder.config.cache == used


def test_a_profile_that_tensorrt_does_not_take_is_said(
    engine: ModuleType, graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the engine would lack it, and later ones would be taken for it."""
    inverted = Profile({"x": (4, 8)}, {"x": (4, 8)}, {"x": (1, 8)})
    monkeypatch.setattr(sys.modules[__name__], "PROFILES", [PROFILES[0], inverted, PROFILES[1]])
    with pytest.raises(EngineFailed, match=r"no profile of network\.onnx from \{'x': \(4, 8\)\} to"):
        build(engine, graph)


def test_a_cache_that_cannot_be_written_is_an_error_before_the_build(
    engine: ModuleType, graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match=r"timing\.cache"):
        build(engine, graph)
    assert not graph.with_name("network.plan").exists()


def test_a_graph_that_tensorrt_cannot_read_is_said(engine: ModuleType, graph: Path) -> None:
    graph.write_bytes(b"")
    with pytest.raises(EngineFailed, match=r"cannot read network\.onnx: no such operator"):
        build(engine, graph)


def test_networks_are_strongly_typed_in_every_version(engine: ModuleType, graph: Path) -> None:
    """TensorRT computes in the graph's own types, among them FP32 for norms."""
    created: list[int] = []
    create = engine.trt.Builder.create_network
    engine.trt.Builder.create_network = lambda builder, flags: created.append(flags) or create(builder, flags)
    build(engine, graph)
    assert created == [1 << engine.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED]


def test_a_version_that_refuses_the_flags_is_named(engine: ModuleType, graph: Path) -> None:
    engine.trt.Builder.known_flags = 0
    with pytest.raises(EngineFailed, match=rf"TensorRT {engine.trt.__version__} creates no network with the flags"):
        build(engine, graph)


def test_a_failed_build_leaves_no_plan_but_what_it_measured(engine: ModuleType, graph: Path) -> None:
    engine.trt.Builder.fails = True
    with pytest.raises(EngineFailed, match="built no engine"):
        build(engine, graph)
    assert not graph.with_name("network.plan").exists()
    assert graph.with_name("timing.cache").read_bytes() == b"mine"


def test_an_interruption_ends_the_build_and_is_raised_after_it(engine: ModuleType, graph: Path) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(engine, graph, interrupted)
    assert not graph.with_name("network.plan").exists()
    assert graph.with_name("timing.cache").read_bytes() == b"mine"


def test_a_case_goes_to_the_first_profile_that_holds_it(engine: ModuleType) -> None:
    assert engine._within((2, 8), PROFILES[0], "x")
    assert not engine._within((5, 8), PROFILES[0], "x")
    assert not engine._within((2, 16), PROFILES[0], "x")
    assert engine._within((4, 16), PROFILES[1], "x")
