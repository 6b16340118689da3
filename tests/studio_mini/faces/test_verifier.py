"""The held-out verifier: another network on other people, and yet it knows the world's faces."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from export.face_pack import VERIFIER_FILE
from studio_mini.faces.figures import recognition_figures
from studio_mini.faces.onnx_files import write_verifier
from studio_mini.faces.pack import load_pack
from studio_mini.faces.verifier import VERIFIER_EMBEDDING, CosFaceHead, Verifier
from studio_mini.measure.verifier import HeldOutVerifier
from studio_mini.train.faces_verifier import spoil

FOLDER = Path(__file__).resolve().parents[3] / "studio_mini" / "checkpoint" / "faces"


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # the exporter's own
def test_the_file_computes_what_the_network_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Verifier().eval()
    session = onnxruntime.InferenceSession(write_verifier(network, tmp_path))
    for batch in (1, 3):
        crops = torch.rand(batch, 3, 112, 112) * 2 - 1
        (found,) = session.run(None, {"input": crops.numpy()})
        assert found.shape == (batch, VERIFIER_EMBEDDING)
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(found), network(crops), atol=1e-4, rtol=1e-3)


def test_the_margin_makes_the_right_class_harder() -> None:
    torch.manual_seed(0)
    head, embeddings, identity = CosFaceHead(5), torch.randn(4, VERIFIER_EMBEDDING), torch.arange(4)
    assert head(embeddings, identity, 0.3) > head(embeddings, identity, 0.0)


def test_spoiling_is_repeatable_and_keeps_the_range() -> None:
    crops = torch.rand(16, 3, 112, 112)
    once, again = (spoil(crops, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(once, again)
    assert once.shape == crops.shape
    assert once.abs().max() < 2
    assert not torch.equal(once, crops * 2 - 1)


def test_shipped_verifier_tells_held_out_people_apart() -> None:
    verifier = HeldOutVerifier(FOLDER, load_pack(FOLDER))
    figures = recognition_figures(verifier.embedding, people=30, shots=3)
    assert figures.auc >= 0.97
    assert figures.same - figures.different >= 0.4


def test_no_face_no_embedding() -> None:
    verifier = HeldOutVerifier(FOLDER, load_pack(FOLDER))
    assert verifier.embedding(np.full((128, 128, 3), 90, np.uint8)) is None


def test_the_verifier_is_no_part_of_what_it_verifies() -> None:
    """Neither the swapper's training nor the search server names it."""
    root = Path(__file__).resolve().parents[3]
    users = [*root.glob("studio_mini/train/*.py"), *root.glob("server/eacps/search/*.py")]
    naming = {path.name for path in users if "verifier" in path.read_text(encoding="utf-8").lower()}
    assert naming == {"faces.py", "faces_verifier.py"}


@pytest.mark.parametrize("name", [VERIFIER_FILE])
def test_it_is_small(name: str) -> None:
    assert (FOLDER / name).stat().st_size < 1_000_000
