"""BF16 with norms in FP32: in the graph's types, and no further from the original than torch itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from eacps.models.backbones.qwen_image_edit.contract import TEXT_ENCODER
from export.backbones.qwen_image_edit import denoiser_graph
from export.backbones.qwen_image_edit.denoiser import DenoiserNetwork, DenoiserShape
from export.backbones.qwen_image_edit.denoiser_graph import DenoiserGraph
from export.backbones.qwen_image_edit.text_encoder import TextEncoderNetwork, TextShape
from export.networks.network import TorchNetwork
from export.parity import ParityFailed, check_parity, onnx_answers
from export.precision import Float32Norm, Precision, at_precision
from studio_mini.architecture import build_transformer
from tests.export.graph_files import OF_2511, STUDIO_TEXT_ENCODER, graph_file, studio_jobs

# torch's exporter uses what torch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def denoiser() -> TorchNetwork:
    shapes = (DenoiserShape(1, 17, ((8, 8), (8, 8))), DenoiserShape(3, 40, ((6, 4), (8, 8)), padding=7))
    return DenoiserNetwork(build_transformer(layers=2), shapes)


def text_encoder() -> TorchNetwork:
    shapes = (TextShape(1, 1, 9, (8, 8)), TextShape(3, 2, 17, (6, 10)))
    network = studio_jobs()[TEXT_ENCODER.name].load()
    assert isinstance(network, TextEncoderNetwork)
    return TextEncoderNetwork(network.model, network.vision, shapes)


@pytest.mark.parametrize(("name", "build"), [(OF_2511, denoiser), (STUDIO_TEXT_ENCODER, text_encoder)])
def test_a_bf16_graph_is_as_near_to_the_original_as_torch(name: str, build: Callable[[], TorchNetwork]) -> None:
    network, path = build(), graph_file(name, Precision.BF16)
    figures = check_parity(network, onnx_answers(path, network, Precision.BF16), Precision.BF16)
    assert all(0 < figure.error <= figure.allowed < 0.1 for figure in figures)

    graph = onnx.load(path).graph
    assert {port.type.tensor_type.elem_type for port in graph.output} == {TensorProto.FLOAT}
    weights = {weight.name: weight.data_type for weight in graph.initializer}
    matrices = [node.input[1] for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    assert {weights[name] for name in matrices if name in weights} <= {TensorProto.BFLOAT16}


def test_norms_stay_in_fp32_and_the_original_is_untouched() -> None:
    transformer = build_transformer(layers=1)
    rounded = at_precision(transformer, Precision.BF16)
    assert {weight.dtype for weight in transformer.parameters()} == {torch.float32}
    norms = [part for part in rounded.modules() if isinstance(part, Float32Norm)]
    assert len(norms) == 1 + 4 + 4 + 1, "of text, four in the block, four of queries and keys, of the output"
    in_norms = {id(weight) for norm in norms for weight in norm.parameters()}
    for weight in rounded.parameters():
        assert weight.dtype == (torch.float32 if id(weight) in in_norms else torch.bfloat16)
    assert at_precision(transformer, Precision.FP32) is transformer


def test_an_engine_that_loses_more_than_torch_fails_the_gate() -> None:
    network = denoiser()
    rounded = network.runner(Precision.BF16)
    own = {case.description: rounded(case.inputs) for case in network.cases()}
    cases = iter(list(network.cases()))

    def twice_as_far(_inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        case = next(cases)
        exact = case.expected["velocity"]
        return {"velocity": exact + 2 * (own[case.description]["velocity"] - exact)}

    with pytest.raises(ParityFailed, match="from the original"):
        check_parity(network, twice_as_far, Precision.BF16)


def test_a_defect_of_the_exported_module_fails_the_gate_at_every_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own error is measured on that module: it must not excuse what the module itself does wrong."""
    network = denoiser()
    sound = DenoiserGraph.forward

    def without_masks(graph: DenoiserGraph, *inputs: torch.Tensor) -> torch.Tensor:
        return sound(graph, *inputs[:3], torch.ones_like(inputs[3]), *inputs[4:])

    monkeypatch.setattr(DenoiserGraph, "forward", without_masks)
    for precision in Precision:
        with pytest.raises(ParityFailed, match="denoiser"):
            check_parity(network, network.runner(precision), precision)


def test_pictures_modulated_by_the_timestep_fail_the_gate_at_every_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint with zero_cond_t has them modulated as at timestep 0."""
    monkeypatch.setattr(denoiser_graph, "picture_modulations", lambda model: [None] * len(model.transformer_blocks))
    network = denoiser()
    for precision in Precision:
        with pytest.raises(ParityFailed, match="denoiser"):
            check_parity(network, network.runner(precision), precision)
