"""What looking for faces costs on a real detector: by sizes, on a network of one size, and where there is no face.

    python -m benchmarks.real_faces FOLDER

The folder is that of `make test-real`. Runs are alternated, and each takes one thread; medians and ratios are printed.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import insightface
import numpy as np
import onnxruntime
from insightface.app.common import Face

from eacps.arrays import Picture
from eacps.models.faces.detection import FaceDetector
from eacps.models.faces.session import Session
from eacps.scene.face_search import FaceSearch
from eacps.scene.faces import Faces
from eacps.scene.geometry import overlaps

THRESHOLD, REPEATS = 0.5, 15
LARGE = (3000, 4000, 3)
MARGINS = np.linspace(-0.1, 1.5, 17)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    free, fixed = _session(folder / "scrfd_rank2.onnx"), _session(folder / "scrfd.onnx")
    both = FaceDetector(free, sizes=(128, 640), threshold=THRESHOLD)
    canvas = FaceDetector(fixed, sizes=(128, 640), threshold=THRESHOLD, canvas=640)
    detectors = {
        "640": FaceDetector(free, sizes=(640,), threshold=THRESHOLD),
        "128 and 640": both,
        "640, network of one size": FaceDetector(fixed, sizes=(640,), threshold=THRESHOLD, canvas=640),
        "128 and 640, network of one size": canvas,
    }
    file = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
    photograph = np.asarray(cv2.imread(str(file)), np.uint8)
    candidate = np.asarray(cv2.resize(photograph[:, 200:1086], (1024, 1024)), np.uint8)
    _print_costs({name: _looking(detector, candidate) for name, detector in detectors.items()})
    crops = list(_crops(photograph, both.find(photograph)))
    alike = sum(_same(both.find(crop), canvas.find(crop)) for crop in crops)
    print(f"of {len(crops)} crops of faces a network of one size finds the same faces in {alike}")
    asyncio.run(_search_in_vain(both))


def _session(file: Path) -> Session:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # old graphs list weights among their inputs
    session: Session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return session


def _looking(detector: FaceDetector, picture: Picture) -> Callable[[], object]:
    return lambda: detector.find(picture)


def _print_costs(ways: dict[str, Callable[[], object]]) -> None:
    """Print the processor time of each way, and its ratio to the first one in the same round."""
    rounds = []
    for _ in range(REPEATS):
        spent = {}
        for name, look in ways.items():
            start = time.process_time()
            look()
            spent[name] = 1000 * (time.process_time() - start)
        rounds.append(spent)
    first = next(iter(ways))
    for name in ways:
        ratio = statistics.median(spent[name] / spent[first] for spent in rounds)
        print(
            f"{name}: {statistics.median(spent[name] for spent in rounds):.1f} ms of processor, {ratio:.2f} of {first}"
        )


def _crops(photograph: Picture, faces: Sequence[Face]) -> list[Picture]:
    """Each face with many margins, as it is and four times as large."""
    found = []
    for face in faces:
        left, top, right, bottom = face.bbox
        for margin in MARGINS:
            across, down = margin * (right - left), margin * (bottom - top)
            rows = slice(max(0, int(top - down)), int(bottom + down))
            crop = photograph[rows, max(0, int(left - across)) : int(right + across)]
            found += [crop, np.asarray(cv2.resize(crop, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), np.uint8)]
    return found


def _same(faces: Sequence[Face], others: Sequence[Face]) -> bool:
    boxes = [other.bbox for other in others]
    return len(faces) == len(others) and all(overlaps(boxes, face.bbox).max() > 0.5 for face in faces)


async def _search_in_vain(detector: FaceDetector) -> None:
    """Look for a face where there is none."""
    looks = 0

    async def find(picture: Picture) -> Faces:
        nonlocal looks
        looks += 1
        if detector.find(np.ascontiguousarray(picture[..., ::-1])):
            raise SystemExit(f"a face was found at look {looks}")
        return Faces.none()

    noise = np.random.default_rng(0).integers(110, 140, LARGE, np.uint8)
    start, processor = time.perf_counter(), time.process_time()
    await FaceSearch(find).faces(noise)
    wall, spent = time.perf_counter() - start, time.process_time() - processor
    print(f"{LARGE[1]}x{LARGE[0]} without a face: {looks} looks, {spent:.1f} s of processor, {wall:.1f} s")


if __name__ == "__main__":
    main()
