"""`face_embed` and `face_prior` in a real Triton, against the same code on ONNX Runtime without Triton."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from eacps.models.faces.program import EMAP_FILE, FaceSettings, build_embedder, build_swap
from eacps.models.faces.session import SessionFactory
from eacps.models.onnx_network import NETWORK_FILE
from eacps.tensors import FACE_EMBED, FACE_VERIFIER, FACE_VERIFY, MODELS
from eacps.triton.embedded import EmbeddedTriton
from export.parity import open_session
from studio_mini.faces.pack import DETECTION_SIZE
from studio_mini.world.tasks import Split, task


@pytest.fixture(scope="module")
def client(triton: EmbeddedTriton) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(triton.grpc_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def sessions(model_repository_dir: Path) -> SessionFactory:
    """The same networks without Triton."""
    return lambda name: open_session(model_repository_dir / name / "1" / NETWORK_FILE)


def infer(client: InferenceServerClient, model: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    inputs = []
    for name, array in arrays.items():
        tensor = InferInput(name, list(array.shape), MODELS[model].input(name).dtype.value)
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    result = client.infer(model, inputs, client_timeout=60)
    return {output.name: result.as_numpy(output.name) for output in MODELS[model].outputs}


def wait_for_word(triton: EmbeddedTriton, word: str) -> None:
    """Wait until ``word`` stands in Triton's log, which is written after the answer."""
    end = time.monotonic() + 20
    while word not in triton.log_file.read_text():
        assert time.monotonic() < end, f"Triton's log does not say {word!r}"
        time.sleep(0.05)


SETTINGS = FaceSettings((DETECTION_SIZE,))
TASKS = [task(number, Split.HELD_OUT) for number in range(3)]
EMPTY = np.full((128, 128, 3), 90, np.uint8)


def test_face_embed_agrees_with_the_same_code_outside_triton(
    client: InferenceServerClient, sessions: SessionFactory
) -> None:
    pictures = np.stack([*(one.scene.picture for one in TASKS), EMPTY])
    served = infer(client, "face_embed", pictures=pictures)
    local = build_embedder(sessions, SETTINGS).faces(pictures).outputs(FACE_EMBED)
    np.testing.assert_array_equal(served["counts"], [1, 1, 1, 0])
    for name, expected in local.items():
        np.testing.assert_allclose(served[name], expected, atol=1e-3, err_msg=name)
    np.testing.assert_allclose(np.linalg.norm(served["embeddings"][:3, 0], axis=1), 1, atol=1e-5)
    assert not served["embeddings"][3].any()


def test_face_verify_agrees_with_the_same_code_outside_triton(
    client: InferenceServerClient, sessions: SessionFactory
) -> None:
    pictures = np.stack([EMPTY, *(one.scene.picture for one in TASKS)])
    served = infer(client, "face_verify", pictures=pictures)
    local = build_embedder(sessions, SETTINGS, FACE_VERIFIER).faces(pictures).outputs(FACE_VERIFY)
    np.testing.assert_array_equal(served["counts"], [0, 1, 1, 1])
    np.testing.assert_allclose(served["embeddings"], local["embeddings"], atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(served["embeddings"][1:, 0], axis=1), 1, atol=1e-5)


def test_the_verifier_says_how_long_its_embeddings_are_where_no_face_does(client: InferenceServerClient) -> None:
    served = infer(client, "face_verify", pictures=EMPTY[None])
    assert served["counts"].tolist() == [0]
    assert served["embeddings"].shape == (1, 1, 256)


def test_face_prior_agrees_with_the_same_code_outside_triton(
    client: InferenceServerClient, sessions: SessionFactory, model_repository_dir: Path
) -> None:
    swap = build_swap(sessions, model_repository_dir / "face_prior" / "1" / EMAP_FILE)
    scene = TASKS[0].scene.picture
    found = build_embedder(sessions, SETTINGS).faces(np.stack([scene, TASKS[0].character.picture]))
    face, identity = found.landmarks[0, 0], found.embeddings[1, 0]
    served = infer(client, "face_prior", scene=scene, landmarks=face, source=identity)["prior"]
    assert np.abs(served.astype(int) - swap.prior(scene, face, identity)).max() <= 1
    assert np.abs(served.astype(int) - scene).mean() > 1, "the prior must differ from the scene"
    with pytest.raises(InferenceServerException, match="unit norm"):
        infer(client, "face_prior", scene=scene, landmarks=face, source=np.zeros(512, np.float32))


def test_many_faces_need_several_recognizer_batches(client: InferenceServerClient, sessions: SessionFactory) -> None:
    pictures = np.stack([TASKS[number % 3].scene.picture for number in range(18)])
    served = infer(client, "face_embed", pictures=pictures)
    assert served["counts"].sum() == 18
    np.testing.assert_allclose(served["embeddings"][15:, 0], served["embeddings"][:3, 0], atol=1e-5)


def test_a_picture_without_pixels_is_an_error_not_a_crash(
    client: InferenceServerClient, triton: EmbeddedTriton
) -> None:
    with pytest.raises(InferenceServerException):
        infer(client, "face_embed", pictures=np.zeros((1, 0, 5, 3), np.uint8))
    assert client.is_server_live()
    wait_for_word(triton, "face_embed: Traceback")


def test_a_network_that_fails_leaves_a_trace(client: InferenceServerClient, triton: EmbeddedTriton) -> None:
    with pytest.raises(InferenceServerException):
        infer(client, "face_detector", input=np.zeros((1, 3, 33, 0), np.float32))
    wait_for_word(triton, "face_detector: Traceback")
