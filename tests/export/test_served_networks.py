"""The exported repository in a real Triton: every model loads, and each leaf answers as ONNX Runtime does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from numpy.typing import NDArray

from eacps.models.backbones.qwen_image_edit.contract import DENOISER, TEXT_ENCODER
from eacps.models.onnx_network import NETWORK_FILE
from eacps.tensors import DType, Kind, ModelSpec
from eacps.triton.embedded import EmbeddedTriton
from export.parity import open_session, relative_error
from tests.conftest import STUDIO_MODELS

NETWORKS = [spec for spec in STUDIO_MODELS.values() if spec.kind is Kind.NETWORK]

# Sizes of the named axes in studio-mini: a result and a picture of 64 tokens, one condition picture of 8x8 patches.
SIZES = {
    "latent_tokens": 64,
    "picture_tokens": 64,
    "image_tokens": 128,
    "latent_channels": 64,
    "text_tokens": 21,
    "text_channels": 128,
    "rope_pairs": 16,
    "pictures": 1,
    "patches": 64,
    "patch_values": 3 * 2 * 16 * 16,
    "vision_rope_pairs": 16,
    "tokens": 30,
    "height": 128,
    "width": 128,
    "latent_depth": 16,
    "latent_height": 16,
    "latent_width": 16,
}


@pytest.fixture(scope="module")
def client(triton: EmbeddedTriton) -> grpcclient.InferenceServerClient:
    return grpcclient.InferenceServerClient(triton.grpc_url)


def test_every_model_of_the_contract_is_ready(client: grpcclient.InferenceServerClient) -> None:
    assert {name for name in STUDIO_MODELS if not client.is_model_ready(name)} == set()


@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
def test_served_network_answers_as_onnxruntime(
    spec: ModelSpec, client: grpcclient.InferenceServerClient, model_repository_dir: Path
) -> None:
    inputs = random_inputs(spec, batch=2)
    session = open_session(model_repository_dir / spec.name / "1" / NETWORK_FILE)
    expected = session.run([tensor.name for tensor in spec.outputs], inputs)
    result = client.infer(spec.name, request(spec, inputs))
    for tensor, array in zip(spec.outputs, expected, strict=True):
        answer = result.as_numpy(tensor.name)
        assert answer.dtype == np.float32
        assert relative_error(answer, array) < 1e-5


def test_requests_that_meet_share_a_run_and_get_their_own_answers(
    client: grpcclient.InferenceServerClient, model_repository_dir: Path
) -> None:
    spec = DENOISER
    session = open_session(model_repository_dir / spec.name / "1" / NETWORK_FILE)
    requests = [random_inputs(spec, batch=1, seed=seed) for seed in range(8)]
    before = executions(client, spec.name)
    with ThreadPoolExecutor(len(requests)) as pool:
        results = list(pool.map(lambda inputs: client.infer(spec.name, request(spec, inputs)), requests))
    assert executions(client, spec.name) - before < len(requests), "nothing was batched"
    for inputs, result in zip(requests, results, strict=True):
        assert relative_error(result.as_numpy("velocity"), session.run(["velocity"], inputs)[0]) < 1e-5


def test_a_request_the_graph_refuses_is_an_error_and_the_model_lives_on(
    client: grpcclient.InferenceServerClient,
) -> None:
    spec = TEXT_ENCODER
    wrong = random_inputs(spec, batch=1)
    wrong["input_ids"] = wrong["input_ids"] + 1_000_000
    with pytest.raises(grpcclient.InferenceServerException, match="indices element out of data bounds"):
        client.infer(spec.name, request(spec, wrong))
    assert client.infer(spec.name, request(spec, random_inputs(spec, batch=1))).as_numpy("hidden_states") is not None


def random_inputs(spec: ModelSpec, batch: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Draw every input; ``batch`` counts for models that have the axis."""
    rng = np.random.default_rng(seed)
    inputs: dict[str, NDArray[Any]] = {}
    for tensor in spec.inputs:
        shape = tuple(SIZES[axis] if isinstance(axis, str) else axis for axis in tensor.axes)
        shape = (batch, *shape) if spec.max_batch_size else shape
        if tensor.dtype is DType.FP32:
            inputs[tensor.name] = rng.uniform(-1, 1, shape).astype(np.float32)
        elif tensor.dtype is DType.BOOL:
            inputs[tensor.name] = rng.uniform(size=shape) < 0.8
        else:
            inputs[tensor.name] = rng.integers(0, 2, shape)
    return inputs


def request(spec: ModelSpec, inputs: dict[str, NDArray[Any]]) -> list[grpcclient.InferInput]:
    made = []
    for tensor in spec.inputs:
        made.append(grpcclient.InferInput(tensor.name, inputs[tensor.name].shape, tensor.dtype.value))
        made[-1].set_data_from_numpy(inputs[tensor.name])
    return made


def executions(client: grpcclient.InferenceServerClient, model: str) -> int:
    return int(client.get_inference_statistics(model).model_stats[0].execution_count)
