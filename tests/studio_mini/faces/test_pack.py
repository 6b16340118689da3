"""The checked-in face pack: loaded by InsightFace's own classes, measured on people it never saw."""

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.face_pack import PACK_FILES
from studio_mini.faces.figures import detection_figures, recognition_figures, swap_figures
from studio_mini.faces.pack import FacePack, load_pack
from studio_mini.measure.identity import embedding

FOLDER = Path(__file__).resolve().parents[3] / "studio_mini" / "checkpoint" / "faces"
MAX_BYTES = 12_000_000


@pytest.fixture(scope="module")
def pack() -> FacePack:
    return load_pack(FOLDER)


def test_the_pack_is_small() -> None:
    assert sum((FOLDER / name).stat().st_size for name in PACK_FILES) <= MAX_BYTES


def test_insightface_reads_the_layouts(pack: FacePack) -> None:
    assert (pack.detector.fmc, pack.detector._num_anchors, pack.detector.use_kps) == (3, 2, True)
    assert (pack.recognizer.input_size, pack.recognizer.input_mean) == ((112, 112), 127.5)
    assert (pack.swapper.input_size, pack.swapper.input_names) == ((128, 128), ["target", "source"])


def test_emap_is_the_last_initializer_and_a_usable_map(pack: FacePack) -> None:
    last = onnx.load(FOLDER / "swapper.onnx").graph.initializer[-1]
    assert (last.name, tuple(last.dims)) == ("emap", (512, 512))
    assert np.isfinite(pack.swapper.emap).all()
    assert np.abs(pack.swapper.emap).max() > 0


def test_detector_finds_held_out_people(pack: FacePack) -> None:
    figures = detection_figures(pack, 40)
    assert figures.found >= 0.97
    assert figures.overlap >= 0.8
    assert figures.landmark_error <= 0.07
    assert figures.extra <= 0.05
    assert figures.false_finds <= 0.05


def test_recognizer_tells_held_out_people_apart(pack: FacePack) -> None:
    figures = recognition_figures(partial(embedding, pack), people=30, shots=3)
    assert figures.auc >= 0.97
    assert figures.same - figures.different >= 0.4


def test_swapper_moves_the_scene_towards_the_character(pack: FacePack) -> None:
    figures = swap_figures(pack, 24)
    assert figures.swapped >= figures.scene + 0.45
    assert figures.kept_outside <= 4
    assert figures.landmark_shift <= 0.08
