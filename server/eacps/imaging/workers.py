"""Decode untrusted pictures in worker processes, so that no picture can crash the server."""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from eacps.arrays import UInt8
from eacps.errors import DecoderUnavailable, InvalidPicture
from eacps.imaging.decoder import LocalDecoder, blank
from eacps.imaging.decoding import Decoded
from eacps.imaging.delivery import Delivered, Layers
from eacps.imaging.inlay import Inlay
from eacps.imaging.limits import Header, Limits, check_bytes
from eacps.imaging.source import Container
from eacps.processes import Part, TaskFailed, WorkerEnded, WorkerPool, WorkerUnavailable
from eacps.processes.worker import allow, work

PROCESSOR_S = 10
"""Processor time of one picture of up to 16 megapixels; in proportion of a larger one."""
DELIVERY_PROCESSOR_S = 60
"""The same for pasting a picture into a scene and encoding it."""
TIMEOUT_S = 60.0
"""Of one picture, by the clock, likewise: on a busy machine a picture may wait for its processor time."""
DELIVERY_TIMEOUT_S = 240.0
_USUAL_PIXELS = 16_000_000
_MODULE = "eacps.imaging.workers"


class DecodingWorkers:
    """A `Decoder` of several processes. Any thread may ask; who finds all busy waits.

    Args:
        count: How many.
        timeout_s: Of one picture, by the clock.
        niceness: Of the processes, from 0 to 19: the higher, the more they leave the processor to others.
        wait_s: How long to wait for an idle one at most; None waits as long as others take.
    """

    def __init__(
        self, count: int = 2, *, timeout_s: float = TIMEOUT_S, niceness: int = 0, wait_s: float | None = None
    ) -> None:
        self._timeout_s, self.count = timeout_s, count
        # As many as processes: more would only wait, and keep other work from the event loop's own threads.
        self.delivery_threads = ThreadPoolExecutor(count, thread_name_prefix="delivery")
        self.pool = WorkerPool(_MODULE, count, niceness=niceness, wait_s=wait_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def header(self, data: bytes, limits: Limits) -> Header:
        """See `eacps.imaging.Decoder.header`."""
        return Header(**self._ask("header", data, limits)[0]["header"])

    def picture(self, data: bytes, limits: Limits, *, pixels: bool = True) -> Decoded:
        """See `eacps.imaging.Decoder.picture`."""
        return _decoded(*self._ask("picture", data, limits, pixels=pixels))

    def mask(self, data: bytes, limits: Limits, *, pixels: bool = True) -> Decoded:
        """See `eacps.imaging.Decoder.mask`."""
        return _decoded(*self._ask("mask", data, limits, pixels=pixels))

    def deliver(self, scene: bytes, inlay: Inlay, limits: Limits, xmp: str | None = None) -> Delivered:
        """See `eacps.imaging.Decoder.deliver`."""
        answer, (data,) = self._ask("deliver", scene, limits, inlay, xmp=xmp)
        return Delivered(bytes(data), Container(answer["container"]))

    def layers(self, scene: bytes, inlay: Inlay, limits: Limits, xmp: str | None = None) -> Layers:
        """See `eacps.imaging.Decoder.layers`."""
        answer, (plate, patch, matte) = self._ask("layers", scene, limits, inlay, xmp=xmp)
        return Layers(bytes(plate), bytes(patch), bytes(matte), Container(answer["container"]))

    def close(self) -> None:
        """End all processes."""
        self.delivery_threads.shutdown(wait=False, cancel_futures=True)
        self.pool.close()

    def _ask(
        self, task: str, data: bytes, limits: Limits, inlay: Inlay | None = None, **options: bool | str | None
    ) -> tuple[dict[str, Any], list[Any]]:
        check_bytes(data, limits)
        request: dict[str, Any] = {"task": task, "limits": asdict(limits), **options}
        parts: list[Part] = [data]
        if inlay is not None:
            request |= {"rectangle": inlay.rectangle, "face": inlay.face}
            parts += [inlay.picture, inlay.working, *([] if inlay.mask is None else [inlay.mask])]
        timeout_s = self._timeout_s if inlay is None else DELIVERY_TIMEOUT_S
        try:
            return self.pool.ask(request, parts, timeout_s=timeout_s)
        except (TaskFailed, WorkerEnded) as exc:
            raise InvalidPicture(str(exc)) from exc
        except WorkerUnavailable as exc:
            raise DecoderUnavailable(str(exc)) from exc


def _decoded(answer: dict[str, Any], parts: list[Any]) -> Decoded:
    notes = tuple(answer["notes"])
    return Decoded(parts[0] if parts else blank(tuple(answer["shape"]), value=answer["value"]), notes)


def _done(request: dict[str, Any], parts: list[UInt8]) -> tuple[dict[str, Any], Sequence[Part]]:
    decoder, limits, task = LocalDecoder(), Limits(**request["limits"]), request["task"]
    data = bytes(parts.pop(0))
    allow(PROCESSOR_S)
    header = decoder.header(data, limits)
    if task == "header":
        return {"header": asdict(header)}, []
    scale = max(1.0, header.width * header.height / _USUAL_PIXELS)
    if task in ("picture", "mask"):
        allow(PROCESSOR_S * scale)
        decoded = (decoder.mask if task == "mask" else decoder.picture)(data, limits, pixels=request["pixels"])
        answer = {"shape": decoded.pixels.shape, "value": int(decoded.pixels.flat[0]), "notes": decoded.notes}
        return answer, [decoded.pixels] if request["pixels"] else []
    allow(DELIVERY_PROCESSOR_S * scale)
    face, mask = request["face"], parts[2] if len(parts) > 2 else None
    inlay = Inlay(parts[0], parts[1], tuple(request["rectangle"]), None if face is None else tuple(face), mask)
    if task == "deliver":
        delivered = decoder.deliver(data, inlay, limits, request["xmp"])
        return {"container": delivered.container}, [delivered.data]
    layers = decoder.layers(data, inlay, limits, request["xmp"])
    return {"container": layers.container}, [layers.plate, layers.patch, layers.matte]


if __name__ == "__main__":
    work(_done, InvalidPicture, int(sys.argv[1]))
