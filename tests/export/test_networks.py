"""The graphs to be exported answer as diffusers' and transformers' own classes do, before any ONNX."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from eacps.models.backbones.qwen_image_edit.config import VisionConfig
from export.backbones.qwen_image_edit.denoiser import DenoiserNetwork
from export.backbones.qwen_image_edit.denoiser_graph import DenoiserGraph
from export.backbones.qwen_image_edit.text_encoder import TextEncoderGraph, TextEncoderNetwork, shapes_for
from export.backbones.qwen_image_edit.vae import VaeDecoderGraph, VaeDecoderNetwork, VaeEncoderGraph, VaeEncoderNetwork
from export.networks.network import Network, ParityCase, sources_of
from export.parity import TOLERANCE, check_parity, onnx_answers, relative_error
from export.precision import Precision
from studio_mini.architecture import build_text_encoder, build_transformer, build_vae
from studio_mini.tokenizer import train_tokenizer
from tests.export.graph_files import OF_2509, OF_2511, graph_file

VISION = VisionConfig(
    patch_size=16,
    temporal_patch_size=2,
    merge_size=2,
    image_mean=(0.5, 0.5, 0.5),
    image_std=(0.5, 0.5, 0.5),
    min_pixels=1024,
    max_pixels=1 << 20,
    window_size=64,
    head_width=32,
    rope_theta=10000.0,
)


@torch.no_grad()
def assert_same(module: nn.Module, network: Network, case: ParityCase) -> None:
    inputs = [torch.from_numpy(case.inputs[tensor.name]) for tensor in network.spec.inputs]
    answer = module(*inputs).numpy()
    (expected,) = case.expected.values()
    assert relative_error(answer, expected) < TOLERANCE / 10, case.description


@pytest.mark.parametrize("zero_cond_t", [True, False])
def test_denoiser(zero_cond_t: bool) -> None:
    network = DenoiserNetwork(build_transformer(zero_cond_t=zero_cond_t, layers=2))
    for graph in (DenoiserGraph(network.transformer), DenoiserGraph(network.transformer, fused=True)):
        for case in network.cases():
            assert_same(graph, network, case)


def test_pictures_are_modulated_as_at_timestep_0_exactly_where_the_checkpoint_has_zero_cond_t() -> None:
    transformers = {switch: build_transformer(zero_cond_t=switch, layers=1) for switch in (True, False)}
    for switch, other in ((True, False), (False, True)):
        case = next(DenoiserNetwork(transformers[switch]).cases())
        inputs = [torch.from_numpy(case.inputs[tensor.name]) for tensor in DenoiserNetwork.spec.inputs]
        with torch.no_grad():
            answer = DenoiserGraph(transformers[other])(*inputs).numpy()
        assert relative_error(answer, case.expected["velocity"]) > TOLERANCE


# torch's exporter uses what torch has deprecated.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("zero_cond_t", [True, False])
def test_one_exported_denoiser_serves_every_shape(zero_cond_t: bool) -> None:
    network = DenoiserNetwork(build_transformer(zero_cond_t=zero_cond_t, layers=2))
    path = graph_file(OF_2511 if zero_cond_t else OF_2509, Precision.FP32)
    graph = onnx.load(path).graph
    assert [port.name for port in graph.input] == [tensor.name for tensor in network.spec.inputs]
    assert len(check_parity(network, onnx_answers(path, network, Precision.FP32))) == 3
    assert {"RotaryEmbedding", "RMSNormalization"} <= {node.op_type for node in graph.node}


def test_the_original_is_left_as_it_was_and_its_weights_are_shared() -> None:
    transformer = build_transformer(layers=2)
    before = [str(module) for module in transformer.modules()]
    graph = DenoiserGraph(transformer)
    assert [str(module) for module in transformer.modules()] == before
    original = {id(weight) for weight in transformer.parameters()}
    own = [name for name, weight in graph.named_parameters() if id(weight) not in original]
    assert own == ["blocks.0.picture_modulation", "last_block.picture_modulation"]
    assert original == {id(weight) for weight in graph.parameters() if id(weight) in original}


def test_denoiser_of_unknown_inputs_is_refused() -> None:
    transformer = build_transformer(layers=1)
    transformer.register_to_config(use_additional_t_cond=True)
    with pytest.raises(ValueError, match="not part of the contract"):
        DenoiserGraph(transformer)


# 4x8 and 8x8 are whole windows; 6x10 leaves windows at the rim that hold fewer patches.
@pytest.mark.parametrize("grid", [(8, 8), (4, 8), (6, 10)], ids=str)
def test_text_encoder(grid: tuple[int, int]) -> None:
    network = TextEncoderNetwork(build_text_encoder(train_tokenizer()), VISION, shapes_for(grid))
    graph = TextEncoderGraph(network.model)
    for case in network.cases():
        assert np.isfinite(case.expected["hidden_states"]).all()
        assert_same(graph, network, case)


def test_text_encoder_depends_on_three_dimensional_positions() -> None:
    """Or else the parity cases would not notice positions that are placed as in text."""
    network = TextEncoderNetwork(build_text_encoder(train_tokenizer()), VISION, shapes_for((8, 8)))
    case = next(network.cases())
    inputs = [torch.from_numpy(case.inputs[tensor.name]) for tensor in network.spec.inputs]
    names = [tensor.name for tensor in network.spec.inputs]
    positions = names.index("position_ids")
    inputs[positions] = torch.arange(inputs[positions].shape[-1]).expand_as(inputs[positions])
    with torch.no_grad():
        answer = TextEncoderGraph(network.model)(*inputs).numpy()
    assert relative_error(answer, case.expected["hidden_states"]) > TOLERANCE


def test_vae() -> None:
    vae = build_vae()
    rng = np.random.default_rng(0)
    vae.register_to_config(latents_mean=rng.normal(size=16).tolist(), latents_std=rng.uniform(1, 3, 16).tolist())
    for network, graph in (
        (VaeEncoderNetwork(vae), VaeEncoderGraph(vae)),
        (VaeDecoderNetwork(vae), VaeDecoderGraph(vae)),
    ):
        for case in network.cases():
            assert_same(graph, network, case)


def test_a_changed_gate_is_a_change_of_every_network() -> None:
    sources = sources_of(VaeDecoderNetwork)
    assert {path.name for path in sources} == {
        *("network.py", "vae.py", "parity.py", "precision.py", "checkpoint.py", "graphs.py", "operators.py")
    }
    assert all(path.is_file() for path in sources)
