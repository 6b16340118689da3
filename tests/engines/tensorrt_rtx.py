"""TensorRT for RTX, driven from Python: its ONNX parser and its builder, which both run without a GPU or a driver.

The wheel ``onnxruntime-ep-nv-tensorrt-rtx-cu13`` brings the two libraries, but neither headers nor a Python interface.
TensorRT's interfaces are C++ classes with virtual methods only, so that a method is called through its slot in the
class's virtual table: its place in the order of declaration, destructors counted twice. The slots below are those of
TensorRT 11.1, whose interfaces version 1.7.1 of this library has. Every other version is refused.

Nothing here says how fast an engine is, or how exact: kernels are chosen on the GPU that loads it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.profiles import Profile, Shapes

PACKAGE, WHEEL = "onnxruntime_ep_nv_tensorrt_rtx", "onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0"
VERSION = 10701

# Slots of the virtual tables, by class and method.
BUILDER_CREATE_CONFIG, BUILDER_CREATE_NETWORK, BUILDER_CREATE_PROFILE, BUILDER_BUILD = 5, 6, 7, 11
CONFIG_ADD_PROFILE = 23
NETWORK_LAYERS = 12
PROFILE_SET_SHAPE = 2
MEMORY_SIZE = 3
PARSER_PARSE_FILE, PARSER_ERRORS, PARSER_ERROR, PARSER_DELETE = 1, 3, 4, 7
ERROR_MESSAGE, ERROR_NODE, ERROR_NODE_NAME, ERROR_OPERATOR = 1, 5, 6, 7

STRONGLY_TYPED = 1 << 0
WARNING, VERBOSE = 2, 4
# Which of a profile's three shapes is set.
LEAST, USUAL, LARGEST = range(3)

Address = ctypes.c_void_p


class TensorRtMissing(Exception):
    """The wheel is not installed, or is of another version."""


class TensorRtRefused(Exception):
    """The parser or the builder refused a graph; the message is its own."""


@dataclass(frozen=True)
class Figures:
    """What a build reported.

    Args:
        layers: Of the network as parsed.
        parse_s, build_s: Processor time in seconds.
        engine: Size of the serialized engine in bytes.
        activations, weights: Memory on the device in bytes, of the profile that takes most.
    """

    layers: int
    parse_s: float
    build_s: float
    engine: int
    activations: int
    weights: int


class _Dims(ctypes.Structure):
    _fields_ = (("count", ctypes.c_int32), ("sizes", ctypes.c_int64 * 8))


class _Logger(ctypes.Structure):
    _fields_ = (("table", Address),)


class Messages:
    """An ``ILogger`` that keeps what it is given."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.warnings: list[str] = []
        kind = ctypes.create_string_buffer(b"ILogger")
        # IVersionedInterface: language, interface information, two destructors; then the logger's own method.
        methods = (
            ctypes.CFUNCTYPE(ctypes.c_int, Address)(lambda _this: 0),
            ctypes.CFUNCTYPE(Address, Address)(lambda _this: ctypes.addressof(kind)),
            ctypes.CFUNCTYPE(None, Address)(lambda _this: None),
            ctypes.CFUNCTYPE(None, Address)(lambda _this: None),
            ctypes.CFUNCTYPE(None, Address, ctypes.c_int, ctypes.c_char_p)(self._log),
        )
        table = (Address * len(methods))(*(ctypes.cast(method, Address) for method in methods))
        self._logger = _Logger(ctypes.addressof(table))
        self._kept_alive = kind, methods, table
        self.address = ctypes.addressof(self._logger)

    def clear(self) -> None:
        """Forget all messages."""
        self.texts.clear()
        self.warnings.clear()

    def largest_number(self, pattern: str) -> int:
        """Return the largest number in the messages that match ``pattern``: each profile has one of its own.

        Raises:
            LookupError: There is no such message.
        """
        numbers = [int(found[1]) for text in self.texts if (found := re.search(pattern, text))]
        if not numbers:
            raise LookupError(f"TensorRT said nothing like {pattern!r}")
        return max(numbers)

    def _log(self, _this: int, severity: int, text: bytes) -> None:
        message = text.decode(errors="replace")
        self.texts.append(message)
        if severity <= WARNING:
            self.warnings.append(message)


class TensorRt:
    """The two libraries of the wheel.

    Raises:
        TensorRtMissing: The wheel is not installed, or not of this version.
    """

    def __init__(self) -> None:
        found = importlib.util.find_spec(PACKAGE)
        if found is None or found.submodule_search_locations is None:
            raise TensorRtMissing(f"TensorRT for RTX is not installed: pip install '{WHEEL}', or the extra 'engines'")
        folder = Path(next(iter(found.submodule_search_locations)))
        self._core = ctypes.CDLL(str(_only(folder, "libtensorrt_rtx.so.*")), mode=ctypes.RTLD_GLOBAL)
        if (version := self._core.getInferLibVersion()) != VERSION:
            raise TensorRtMissing(f"TensorRT for RTX is of version {version}, these slots are of {VERSION}: {WHEEL}")
        self._onnx = ctypes.CDLL(str(_only(folder, "libtensorrt_onnxparser_rtx.so.*")))
        for function in (self._core.createInferBuilder_INTERNAL, self._onnx.createNvOnnxParser_INTERNAL):
            function.restype = Address
        self.messages = Messages()

    def parse(self, graph: Path) -> int:
        """Parse a graph as a strongly typed network, external weights included; return its number of layers.

        Raises:
            TensorRtRefused: With the parser's errors.
        """
        with self._parsed(graph) as (_, _, layers):
            return layers

    def build(self, graph: Path, profiles: Sequence[Profile]) -> Figures:
        """Parse a graph and build its engine, with one optimization profile for each of ``profiles``.

        Raises:
            TensorRtRefused: With the parser's errors, or the builder's.
        """
        began = time.process_time()
        with self._parsed(graph) as (builder, network, layers):
            parsed = time.process_time()
            config = _call(_inner(builder), BUILDER_CREATE_CONFIG, Address)
            for profile in profiles:
                self._add_profile(builder, config, profile)
            engine = _call(_inner(builder), BUILDER_BUILD, Address, Address(network), Address(config))
            if not engine:
                raise TensorRtRefused(f"no engine of {graph}: {self._last_warnings()}")
            size = _call(_inner(engine), MEMORY_SIZE, ctypes.c_size_t)
            _delete(engine)
            _delete(config)
        return Figures(
            layers=layers,
            parse_s=parsed - began,
            build_s=time.process_time() - parsed,
            engine=size,
            activations=self.messages.largest_number(r"Total Activation Memory: (\d+) bytes"),
            weights=self.messages.largest_number(r"Total Weights Memory: (\d+) bytes"),
        )

    @contextmanager
    def _parsed(self, graph: Path) -> Iterator[tuple[int, int, int]]:
        """Yield builder, network and number of layers."""
        self.messages.clear()
        logger = Address(self.messages.address)
        builder = self._core.createInferBuilder_INTERNAL(logger, ctypes.c_int32(VERSION))
        network = _call(_inner(builder), BUILDER_CREATE_NETWORK, Address, ctypes.c_uint32(STRONGLY_TYPED))
        version = ctypes.c_int32(self._onnx.getNvOnnxParserVersion())
        parser = self._onnx.createNvOnnxParser_INTERNAL(Address(network), logger, version)
        try:
            path = ctypes.c_char_p(str(graph).encode())
            if not _call(parser, PARSER_PARSE_FILE, ctypes.c_bool, path, ctypes.c_int(VERBOSE)):
                raise TensorRtRefused(f"cannot read {graph}: {'; '.join(_errors(parser))}")
            yield builder, network, _call(_inner(network), NETWORK_LAYERS, ctypes.c_int)
        finally:
            _call(parser, PARSER_DELETE, None)
            _delete(network)
            _delete(builder)

    def _add_profile(self, builder: int, config: int, profile: Profile) -> None:
        made = _call(_inner(builder), BUILDER_CREATE_PROFILE, Address)
        sets: Mapping[int, Shapes] = {LEAST: profile.least, USUAL: profile.usual, LARGEST: profile.largest}
        for which, shapes in sets.items():
            for name, shape in shapes.items():
                dims = _Dims(len(shape), (ctypes.c_int64 * 8)(*shape))
                arguments = ctypes.c_char_p(name.encode()), ctypes.c_int(which), Address(ctypes.addressof(dims))
                if not _call(_inner(made), PROFILE_SET_SHAPE, ctypes.c_bool, *arguments):
                    raise TensorRtRefused(f"{name} does not take {shape}: {self._last_warnings()}")
        if _call(_inner(config), CONFIG_ADD_PROFILE, ctypes.c_int, Address(made)) < 0:
            raise TensorRtRefused(f"a profile does not fit: {self._last_warnings()}")

    def _last_warnings(self) -> str:
        return " | ".join(self.messages.warnings[-3:])


def _errors(parser: int) -> list[str]:
    found = []
    for number in range(_call(parser, PARSER_ERRORS, ctypes.c_int)):
        error = _call(parser, PARSER_ERROR, Address, ctypes.c_int(number))
        node = _call(error, ERROR_NODE, ctypes.c_int)
        name, operator, message = (
            (_call(error, slot, ctypes.c_char_p) or b"").decode(errors="replace")
            for slot in (ERROR_NODE_NAME, ERROR_OPERATOR, ERROR_MESSAGE)
        )
        found.append(f"node {node} {name} ({operator}): {message}")
    return found


def _call(this: int, slot: int, result: Any, *arguments: Any) -> Any:
    """Call a virtual method of the object at ``this``; arguments are values of ``ctypes``."""
    table = ctypes.cast(Address.from_address(this).value or 0, ctypes.POINTER(Address))
    return ctypes.CFUNCTYPE(result, Address, *map(type, arguments))(table[slot])(this, *arguments)


def _delete(public: int) -> None:
    """Delete an object: the second entry of a table is the destructor that frees the memory too."""
    _call(public, 1, None)


def _inner(public: int) -> int:
    """Return the object that does the work: public classes hold a pointer to it after their own table."""
    return Address.from_address(public + ctypes.sizeof(Address)).value or 0


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise TensorRtMissing(f"{folder} should hold one {pattern}, and holds {len(found)}: {WHEEL}")
    return found[0]
