"""Build and run a TensorRT engine. Imported only where TensorRT is installed; not run on a GPU yet."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import tensorrt as trt
import torch

from eacps.tensors import ModelSpec
from export.networks.network import Tensors
from export.profiles import Profile, Shapes
from export.targets.target import EngineFailed, Watch


def build_engine(graph: Path, plan: Path, profiles: Sequence[Profile], timing_cache: Path, watch: Watch) -> None:
    """Build one engine with one optimization profile for each bucket.

    Args:
        graph: ONNX file; weights may lie beside it.
        plan: File to write.
        profiles: At least one.
        timing_cache: File of what earlier builds measured on this GPU, read and written; it speeds up the next build.
        watch: Called with the progress of TensorRT's phases.

    Raises:
        EngineFailed: TensorRT cannot read the graph, takes no such profile, or builds no engine; with its own messages.
        OSError: The timing cache cannot be written: the build, which may take an hour, is not begun.
    """
    timing_cache.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(timing_cache.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(timing_cache))
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = _parse(builder, graph, logger)
    config = builder.create_builder_config()
    for profile in profiles:
        # A negative index says that it was not added: the engine would lack it, and later ones be taken for it.
        if config.add_optimization_profile(_optimization_profile(builder, profile)) < 0:
            raise EngineFailed(f"TensorRT takes no profile of {graph.name} from {profile.least} to {profile.largest}")
    _use_timing_cache(config, timing_cache)
    monitor = config.progress_monitor = _Monitor(watch)
    engine = builder.build_serialized_network(network, config)
    if engine is not None:
        _write(plan, engine)
    # Kept even if the build failed: the next one starts further on.
    if (cache := config.get_timing_cache()) is not None:
        _write(timing_cache, cache.serialize())
    monitor.raise_what_stopped_it()
    if engine is None:
        raise EngineFailed(f"TensorRT built no engine from {graph.name}; its log says why")


def _parse(builder: trt.Builder, graph: Path, logger: trt.Logger) -> trt.INetworkDefinition:
    # Bit 1 in TensorRT 10 and bit 0 in TensorRT 11, which refuses unknown bits: only the library's enum knows.
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    if network is None:
        raise EngineFailed(f"TensorRT {trt.__version__} creates no network with the flags {flags:b}")
    parser = trt.OnnxParser(network, logger)
    # From the file: external weights are found beside it, and no protobuf holds more than 2 GB.
    if not parser.parse_from_file(str(graph)):
        errors = "; ".join(str(parser.get_error(number)) for number in range(parser.num_errors))
        raise EngineFailed(f"TensorRT cannot read {graph.name}: {errors}")
    return network


class Engine:
    """A built engine, for the parity gate.

    Args:
        plan: Its file.
        spec: Its contract.
        profiles: Those that it was built with, in order.

    Raises:
        EngineFailed: It cannot be read back.
    """

    def __init__(self, plan: Path, spec: ModelSpec, profiles: Sequence[Profile]) -> None:
        self._spec, self._profiles = spec, profiles
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
        self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        if self._engine is None:
            raise EngineFailed(f"TensorRT cannot read back {plan.name}")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineFailed(f"TensorRT creates no execution context for {plan.name}: is there enough GPU memory?")

    def answer(self, inputs: Tensors) -> Tensors:
        """Run the engine on one case.

        Raises:
            EngineFailed: The shapes of the case fit no profile, or the run failed.
        """
        stream = torch.cuda.Stream()
        self._need(self._context.set_optimization_profile_async(self._profile(inputs), stream.cuda_stream))
        held: dict[str, torch.Tensor] = {}
        for tensor in self._spec.inputs:
            held[tensor.name] = torch.from_numpy(inputs[tensor.name]).cuda().contiguous()
            self._need(self._context.set_input_shape(tensor.name, tuple(held[tensor.name].shape)))
            self._context.set_tensor_address(tensor.name, held[tensor.name].data_ptr())
        for tensor in self._spec.outputs:
            shape = tuple(self._context.get_tensor_shape(tensor.name))
            held[tensor.name] = torch.empty(shape, dtype=torch.float32, device="cuda")
            self._context.set_tensor_address(tensor.name, held[tensor.name].data_ptr())
        torch.cuda.synchronize()  # the inputs were copied on another stream
        self._need(self._context.execute_async_v3(stream.cuda_stream))
        stream.synchronize()
        return {tensor.name: held[tensor.name].cpu().numpy() for tensor in self._spec.outputs}

    def _need(self, done: bool) -> None:
        if not done:
            raise EngineFailed(f"the engine of {self._spec.name} failed; TensorRT's log says why")

    def _profile(self, inputs: Tensors) -> int:
        for number, profile in enumerate(self._profiles):
            if all(_within(inputs[name].shape, profile, name) for name in profile.least):
                return number
        raise EngineFailed(f"these shapes fit no profile of {self._spec.name}")


class _Monitor(trt.IProgressMonitor):
    """Reports the progress of the builder's phases.

    TensorRT calls it from C++, which no exception may cross. An exception raised here, an interruption too, stops the
    build and is raised again afterwards.
    """

    def __init__(self, watch: Watch) -> None:
        trt.IProgressMonitor.__init__(self)
        self._watch = watch
        self._steps: dict[str, int] = {}
        self._stopped_by: BaseException | None = None

    def phase_start(self, phase_name: str, _parent_phase: str | None, num_steps: int) -> None:
        self._steps[phase_name] = num_steps

    def phase_finish(self, phase_name: str) -> None:
        self._steps.pop(phase_name, None)

    def step_complete(self, phase_name: str, step: int) -> bool:
        try:
            self._watch(phase_name, step + 1, self._steps.get(phase_name, step + 1))
        except BaseException as stop:
            self._stopped_by = stop
        return self._stopped_by is None

    def raise_what_stopped_it(self) -> None:
        """Raise what the watcher raised, if anything."""
        if self._stopped_by is not None:
            raise self._stopped_by


def _use_timing_cache(config: trt.IBuilderConfig, file: Path) -> None:
    """Start from what earlier builds measured, or from nothing if TensorRT does not accept it."""
    earlier = file.read_bytes() if file.exists() else b""
    if not config.set_timing_cache(config.create_timing_cache(earlier), ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def _optimization_profile(builder: trt.Builder, profile: Profile) -> trt.IOptimizationProfile:
    made = builder.create_optimization_profile()
    for name in profile.least:
        made.set_shape(name, profile.least[name], profile.usual[name], profile.largest[name])
    return made


def _within(shape: tuple[int, ...], profile: Profile, name: str) -> bool:
    bounds: tuple[Shapes, Shapes] = (profile.least, profile.largest)
    least, largest = (shapes[name] for shapes in bounds)
    return len(shape) == len(least) and all(
        low <= axis <= high for low, axis, high in zip(least, shape, largest, strict=True)
    )


def _write(path: Path, contents: trt.IHostMemory) -> None:
    """Write the whole file or none: a build may be stopped at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(memoryview(contents))
    os.replace(partial, path)
