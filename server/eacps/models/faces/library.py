"""InsightFace's ArcFaceONNX and INSwapper on given sessions instead of ONNX files.

InsightFace's constructors open the ONNX file even where they are given a session: to tell how the
network was normalized, and to fetch the swapper's ``emap``. In Triton there may be no such file (a TensorRT engine
has none), so the subclasses here set the same attributes from the session, and inherit everything else.
"""

from pathlib import Path

import numpy as np
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.model_zoo.inswapper import INSwapper
from numpy.typing import NDArray

from eacps.models.faces.session import Session

EMAP_SHAPE = (512, 512)


class ServedRecognizer(ArcFaceONNX):  # type: ignore[misc]  # insightface has no type hints
    """ArcFaceONNX without its file.

    Args:
        session: On a network that takes crops as (value - 127.5) / 127.5. That is so for all of InsightFace's packs
            that were not converted from MXNet (those normalize inside the graph; the exporter refuses them).
    """

    def __init__(self, session: Session) -> None:
        self.session, self.model_file, self.taskname = session, None, "recognition"
        self.input_mean = self.input_std = 127.5
        entry, exit_ = session.get_inputs()[0], session.get_outputs()[0]
        self.input_name, self.input_shape = entry.name, entry.shape
        self.input_size = (entry.shape[3], entry.shape[2])
        self.output_names, self.output_shape = [exit_.name], exit_.shape


class ServedSwapper(INSwapper):  # type: ignore[misc]  # insightface has no type hints
    """INSwapper without its file, and without what its constructor prints.

    Args:
        session: On a network with inputs target crop and latent, in that order.
        emap: [512, 512] float32, the last initializer of the pack's ONNX graph.
    """

    def __init__(self, session: Session, emap: NDArray[np.float32]) -> None:
        self.session, self.model_file, self.emap = session, None, emap
        self.input_mean, self.input_std = 0.0, 255.0
        inputs = session.get_inputs()
        self.input_names = [port.name for port in inputs]
        self.output_names = [session.get_outputs()[0].name]
        self.input_shape = inputs[0].shape
        self.input_size = (inputs[0].shape[3], inputs[0].shape[2])


def load_emap(path: Path) -> NDArray[np.float32]:
    """Read a saved ``emap``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it does not hold [512, 512] numbers.
    """
    emap = np.load(path, allow_pickle=False)
    if emap.shape != EMAP_SHAPE:
        raise ValueError(f"{path.name} holds {emap.shape}, not {EMAP_SHAPE}")
    return np.ascontiguousarray(emap, dtype=np.float32)
