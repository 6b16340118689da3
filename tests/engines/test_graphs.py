"""NVIDIA's own parser and builder take every graph that is exported, with the profiles that it would be built with."""

from __future__ import annotations

import os
import re
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from eacps.models.backbones import networks_of
from eacps.models.onnx_network import NETWORK_FILE
from eacps.tensors import VAE_DECODER, Kind
from export.precision import Precision
from export.profiles import Profile
from tests.conftest import STUDIO_MODELS
from tests.engines.tensorrt_rtx import WHEEL, TensorRt, TensorRtMissing, TensorRtRefused
from tests.export.graph_files import GRAPHS, KLEIN_DENOISER, OF_2509, OF_2511, graph_file, job_of, studio_jobs

pytestmark = [
    # torch's exporter uses what torch has deprecated.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
    pytest.mark.timeout(600),
]

NETWORKS = [spec.name for spec in STUDIO_MODELS.values() if spec.kind is Kind.NETWORK]
SMALL = [name for name in NETWORKS if name.startswith(("face", "vae"))]
DENOISERS = [(OF_2509, Precision.FP32), (OF_2511, Precision.BF16), (KLEIN_DENOISER, Precision.BF16)]
KLEIN_NETWORKS = list(networks_of("flux2_klein"))


@pytest.mark.parametrize("network", NETWORKS)
def test_a_graph_of_studio_mini_is_read(network: str, tensorrt: TensorRt, model_repository_dir: Path) -> None:
    assert tensorrt.parse(model_repository_dir / network / "1" / NETWORK_FILE) > 0
    # Indices and masks are what the contract says they are.
    assert [text for text in tensorrt.messages.warnings if "has Int64 binding" not in text] == []


@pytest.mark.parametrize("network", KLEIN_NETWORKS)
def test_a_graph_of_klein_is_read(network: str, tensorrt: TensorRt, klein_repository_dir: Path) -> None:
    assert tensorrt.parse(klein_repository_dir / network / "1" / NETWORK_FILE) > 0
    assert [text for text in tensorrt.messages.warnings if "has Int64 binding" not in text] == []


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_graph_in_bf16_or_of_another_checkpoint_is_read(graph: str, tensorrt: TensorRt) -> None:
    assert tensorrt.parse(graph_file(*GRAPHS[graph])) > 0


@pytest.mark.parametrize("network", SMALL)
def test_an_engine_of_studio_mini_is_built(network: str, tensorrt: TensorRt, model_repository_dir: Path) -> None:
    figures = tensorrt.build(model_repository_dir / network / "1" / NETWORK_FILE, studio_jobs()[network].profiles)
    assert figures.engine > figures.weights > 0


@pytest.mark.parametrize(("name", "precision"), DENOISERS)
def test_a_denoiser_is_built_with_a_profile_for_each_bucket(
    name: str, precision: Precision, tensorrt: TensorRt
) -> None:
    profiles = job_of(name).profiles
    assert len(profiles) == (3 if name == KLEIN_DENOISER else 6)
    figures = tensorrt.build(graph_file(name, precision), profiles)
    assert figures.engine > figures.weights > 0


def test_a_graph_with_sequences_is_refused_with_the_nodes_name(tensorrt: TensorRt, tmp_path: Path) -> None:
    """Or the harness would not notice."""
    nodes = [
        helper.make_node("Constant", [], ["k"], value_int=0),
        helper.make_node("SplitToSequence", ["x"], ["parts"], name="parts_of_x", axis=0),
        helper.make_node("SequenceAt", ["parts", "k"], ["y"], name="first_of_x"),
    ]
    write(tmp_path / NETWORK_FILE, nodes)
    with pytest.raises(TensorRtRefused, match=r"parts_of_x \(SplitToSequence\)"):
        tensorrt.parse(tmp_path / NETWORK_FILE)


def test_types_that_do_not_agree_are_refused(tensorrt: TensorRt, tmp_path: Path) -> None:
    """Networks are strongly typed, so that what is computed in BF16 is decided by the graph."""
    nodes = [
        helper.make_node("Cast", ["x"], ["b"], to=TensorProto.BFLOAT16),
        helper.make_node("Add", ["x", "b"], ["y"], name="mixed"),
    ]
    write(tmp_path / NETWORK_FILE, nodes)
    with pytest.raises(TensorRtRefused, match=r"mixed.*type"):
        tensorrt.build(tmp_path / NETWORK_FILE, [])


def test_a_profile_that_does_not_fit_is_refused(tensorrt: TensorRt, model_repository_dir: Path) -> None:
    graph = model_repository_dir / VAE_DECODER.name / "1" / NETWORK_FILE
    wrong = {"latents": (1, 15, 16, 16)}
    with pytest.raises(TensorRtRefused, match="Dimension mismatch for tensor latents"):
        tensorrt.build(graph, [Profile(wrong, wrong, wrong)])


def test_weights_with_a_second_link_are_read(tensorrt: TensorRt, model_repository_dir: Path, tmp_path: Path) -> None:
    for file in (model_repository_dir / VAE_DECODER.name / "1").glob(f"{NETWORK_FILE}*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
        os.link(tmp_path / file.name, tmp_path / f"second-{file.name}")
    assert tensorrt.parse(tmp_path / NETWORK_FILE) > 0


def test_another_version_of_the_library_is_refused(tensorrt: TensorRt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.engines.tensorrt_rtx.VERSION", 10800)
    with pytest.raises(TensorRtMissing, match="is of version 10701, these slots are of 10800"):
        TensorRt()


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.engines.tensorrt_rtx.PACKAGE", "no_such_package")
    with pytest.raises(TensorRtMissing, match=re.escape(f"pip install '{WHEEL}'")):
        TensorRt()


def write(path: Path, nodes: list[onnx.NodeProto]) -> None:
    ports = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4])] for name in ("x", "y")]
    graph = helper.make_graph(nodes, "test", *ports)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
