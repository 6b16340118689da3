"""``config.pbtxt``: the checked-in files are what the contract says, and Triton's own parser reads them so."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from eacps.models.backbones.qwen_image_edit.contract import DENOISER, NETWORKS
from eacps.tensors import MODELS, Kind, ModelSpec
from export.backbones.qwen_image_edit.denoiser import DenoiserNetwork
from export.backbones.qwen_image_edit.vae import VaeEncoderNetwork
from export.config import ConfigDetails, render_config
from export.networks.faces import FaceNetwork
from export.precision import Precision
from export.repository import BACKBONE_NETWORK
from export.targets import EMBEDDED, ONNXRUNTIME, TARGETS
from studio_mini.architecture import build_vae

CHECKED_IN = Path(__file__).resolve().parents[2] / "model_repository"

every_model = pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS.keys())


@every_model
def test_checked_in_file_is_up_to_date(spec: ModelSpec) -> None:
    text = (CHECKED_IN / spec.name / "config.pbtxt").read_text(encoding="utf-8")
    assert text == render_config(spec, EMBEDDED.where), "run python -m export.config"


def test_checked_in_folders_are_the_contract() -> None:
    assert {path.name for path in CHECKED_IN.iterdir()} == {*MODELS, BACKBONE_NETWORK}


@pytest.mark.parametrize("spec", [*MODELS.values(), *NETWORKS], ids=lambda spec: spec.name)
def test_config_states_the_contract(spec: ModelSpec) -> None:
    config = text_format.Parse(render_config(spec, ONNXRUNTIME.where), ModelConfig())
    assert (config.name, config.max_batch_size) == (spec.name, spec.max_batch_size)
    assert config.backend == ("onnxruntime" if spec.kind is Kind.NETWORK else "python")
    assert config.HasField("dynamic_batching") == spec.dynamic_batching
    assert config.model_transaction_policy.decoupled == spec.decoupled
    for stated, tensors in ((config.input, spec.inputs), (config.output, spec.outputs)):
        assert [tensor.name for tensor in stated] == [tensor.name for tensor in tensors]
        assert [tuple(tensor.dims) for tensor in stated] == [tensor.dims for tensor in tensors]
        assert [DataType.Name(tensor.data_type) for tensor in stated] == [f"TYPE_{t.dtype.value}" for t in tensors]
    assert [tensor.optional for tensor in config.input] == [tensor.optional for tensor in spec.inputs]


def test_details_of_a_checkpoint_are_stated() -> None:
    spec = MODELS["face_swapper"]
    details = ConfigDetails({"key": "value"}, {"target": (1, 3, 128, 128), "source": (1, 512)})
    config = text_format.Parse(render_config(spec, EMBEDDED.where, details), ModelConfig())
    assert config.parameters["key"].string_value == "value"
    (warmup,) = config.model_warmup
    assert {name: tuple(tensor.dims) for name, tensor in warmup.inputs.items()} == details.warmup


def test_an_engine_is_served_by_one_instance_with_all_its_profiles() -> None:
    placement = TARGETS["tensorrt"].placement(DenoiserNetwork)
    config = text_format.Parse(
        render_config(DENOISER, placement, ConfigDetails(max_batch=4, profiles=3)), ModelConfig()
    )
    assert (config.backend, config.default_model_filename) == ("tensorrt", "network.plan")
    assert config.max_batch_size == 4
    (group,) = config.instance_group
    assert (group.kind, group.count, list(group.profile)) == (group.KIND_GPU, 1, ["0", "1", "2"])


def test_a_torch_program_goes_to_a_gpu_where_there_is_one_and_its_faces_stay_graphs() -> None:
    torch = TARGETS["torch"]
    assert torch.placement(DenoiserNetwork).kind == "KIND_AUTO"
    assert torch.placement(DenoiserNetwork).parameters["compile"] == "true"
    assert torch.placement(FaceNetwork) == EMBEDDED.where


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_tritons_own_backend_is_told_the_numbers_that_the_graph_has(tmp_path: Path) -> None:
    """It refuses -1 for an axis that is fixed in the graph."""
    VaeEncoderNetwork(build_vae()).write_onnx(tmp_path / "network.onnx", Precision.FP32)
    dims = ONNXRUNTIME.dims(tmp_path)
    assert dims == {"picture": (-1, 3, -1, -1), "latents": (-1, 16, -1, -1)}
    text = render_config(MODELS["vae_encoder"], ONNXRUNTIME.where, ConfigDetails(dims=dims))
    config = text_format.Parse(text, ModelConfig())
    assert [list(tensor.dims) for tensor in (*config.input, *config.output)] == [[3, -1, -1], [16, -1, -1]]
    assert EMBEDDED.dims(tmp_path) == {}
