"""Both directions are held to the contract."""

from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferResult, model_config_pb2, service_pb2
from tritonclient.utils import np_to_triton_dtype

from eacps.errors import TritonModelFailed
from eacps.tensors import FACE_EMBED, FACE_PRIOR, SAMPLER, VLM_JUDGE, DType
from eacps.triton import ServedCheckpoint, codec, served

SERVED = {
    "checkpoint": "mini",
    "fingerprint": "f" * 64,
    "width": "48",
    "height": "32",
    "default_steps": "8",
    "latent_shape": "16,4,6",
    "noise_version": "noise-1",
    "max_pictures": "2",
    "face_swap": "false",
    "build": "b1",
    "revision": "",
    "target": "torch",
    "precision": "bf16",
    "backbone": "qwen_image_edit",
    "guidance": "true_cfg",
    "judge": "false",
    "own_judge": "false",
}


def prior_inputs(**replaced: Any) -> dict[str, Any]:
    arrays = {
        "scene": np.zeros((4, 6, 3), np.uint8),
        "landmarks": np.zeros((5, 2), np.float32),
        "source": np.zeros(512, np.float32),
    }
    return {**arrays, **replaced}


def response(**arrays: np.ndarray[Any, Any]) -> InferResult:
    names = {"float32": "FP32", "int32": "INT32", "uint8": "UINT8", "float64": "FP64"}
    message = service_pb2.ModelInferResponse()
    for name, array in arrays.items():
        message.outputs.add(name=name, datatype=names[array.dtype.name], shape=array.shape)
        message.raw_output_contents.append(array.tobytes())
    return InferResult(message)


class TestEncode:
    def test_builds_inputs_in_order_and_binds_axes(self) -> None:
        inputs, axes = codec.encode(FACE_PRIOR, prior_inputs())
        assert [item.name() for item in inputs] == ["scene", "landmarks", "source"]
        assert axes == {"height": 4, "width": 6}

    @pytest.mark.parametrize(
        ("replaced", "words"),
        [
            ({"scene": np.zeros((4, 6, 3), np.float32)}, "dtype"),
            ({"scene": np.zeros((4, 6), np.uint8)}, r"shape \[4, 6\] instead of \[height, width, 3\]"),
            ({"scene": np.zeros((4, 6, 4), np.uint8)}, r"shape \[4, 6, 4\] instead of \[height, width, 3\]"),
            ({"scene": None}, "needs the input scene"),
            ({"mask": np.zeros((4, 6), np.uint8)}, "takes no input mask"),
        ],
    )
    def test_refuses_what_breaks_the_contract(self, replaced: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            codec.encode(FACE_PRIOR, prior_inputs(**replaced))

    def test_axes_of_one_name_are_equal(self) -> None:
        arrays = {"pictures": np.zeros((1, 4, 6, 3), np.uint8), "edit_mask": np.zeros((4, 5), np.uint8)}
        with pytest.raises(ValueError, match=r"edit_mask .* shape \[4, 5\] instead of \[height=4, width=6\]"):
            codec.encode(SAMPLER, arrays)

    def test_text_is_utf8(self) -> None:
        assert codec.utf8("größer").tobytes().decode() == "größer"


@pytest.mark.parametrize("dtype", DType)
def test_every_type_has_its_numpy_name(dtype: DType) -> None:
    assert np_to_triton_dtype(np.dtype(dtype.numpy_name)) == dtype.value


class TestDecode:
    def test_reads_every_output(self) -> None:
        p_yes = np.array([[0.25, 0.75]], np.float32)
        assert np.array_equal(codec.outputs_of(VLM_JUDGE, response(p_yes=p_yes), {"items": 1})["p_yes"], p_yes)

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({}, "without its output p_yes"),
            ({"p_yes": np.zeros((1, 2), np.float64)}, "dtype"),
            ({"p_yes": np.zeros((2,), np.float32)}, r"shape \[2\] instead of \["),
            ({"p_yes": np.zeros((2, 1), np.float32)}, r"shape \[2, 1\] instead of \[items=1, questions\]"),
        ],
    )
    def test_refuses_what_breaks_the_contract(self, arrays: dict[str, Any], words: str) -> None:
        with pytest.raises(TritonModelFailed, match=words):
            codec.outputs_of(VLM_JUDGE, response(**arrays), {"items": 1})

    def test_refuses_too_few_bytes(self) -> None:
        result = response(p_yes=np.zeros((1, 2), np.float32))
        result.get_response().raw_output_contents[0] = b"\0" * 4
        with pytest.raises(TritonModelFailed, match="cannot be read"):
            codec.outputs_of(VLM_JUDGE, result, {})


def described(**parameters: str) -> ServedCheckpoint:
    config = model_config_pb2.ModelConfig()
    for name, value in (SERVED | parameters).items():
        config.parameters[name].string_value = value
    return served.describe(config, triton_version="2.51.0")


class TestServed:
    def test_a_configuration_that_differs_is_refused(self) -> None:
        config = model_config_pb2.ModelConfig(name="face_embed")
        config.input.add(name="pictures", data_type=model_config_pb2.TYPE_FP32, dims=[-1, -1, -1, 3])
        with pytest.raises(TritonModelFailed, match=r"input pictures is .*TYPE_FP32.*output boxes is absent"):
            served.check(FACE_EMBED, config)

    def test_a_sampler_says_its_checkpoint_and_how_it_draws_noise(self) -> None:
        config = model_config_pb2.ModelConfig()
        for name, value in SERVED.items():
            config.parameters[name].string_value = value
        checkpoint = served.describe(config, triton_version="2.51.0")
        assert (checkpoint.name, checkpoint.latent_shape) == ("mini", (16, 4, 6))
        assert checkpoint.noise_version == "noise-1"
        assert (checkpoint.build, checkpoint.target, checkpoint.max_pictures) == ("b1", "torch", 2)
        assert (checkpoint.backbone, checkpoint.guidance) == ("qwen_image_edit", "true_cfg")
        assert not checkpoint.face_swap
        assert not checkpoint.judge
        assert "build b1 of qwen_image_edit, torch in bf16, no face swapper, no judge" in checkpoint.in_words

    def test_a_judge_that_the_checkpoint_brings_is_named(self) -> None:
        assert "torch in bf16, no face swapper" in described(judge="true").in_words
        brought = described(judge="true", own_judge="true")
        assert brought.own_judge
        assert "torch in bf16, with a judge of its own, no face swapper" in brought.in_words

    def test_a_sampler_that_names_no_sizes_has_its_default_one(self) -> None:
        checkpoint = described()
        assert checkpoint.sizes == ((checkpoint.width, checkpoint.height),)
        assert checkpoint.latent_shape_of(checkpoint.sizes[0]) == checkpoint.latent_shape

    def test_the_noise_of_another_size_has_its_cells(self) -> None:
        checkpoint = described(sizes="48x32,32x48")
        assert checkpoint.sizes == ((48, 32), (32, 48))
        assert checkpoint.latent_shape_of((32, 48)) == (16, 6, 4)

    @pytest.mark.parametrize("sizes", ["", "48", "48x32x8", "32x48,48x32", "48x32,0x32", "48x32,axb"])
    def test_sizes_that_cannot_be_meant_are_refused(self, sizes: str) -> None:
        with pytest.raises(TritonModelFailed, match="which checkpoint"):
            described(sizes=sizes)

    @pytest.mark.parametrize("name", ["fingerprint", "noise_version", "build"])
    def test_a_repository_of_an_earlier_exporter_is_refused(self, name: str) -> None:
        config = model_config_pb2.ModelConfig()
        for key in SERVED.keys() - {name}:
            config.parameters[key].string_value = SERVED[key]
        with pytest.raises(TritonModelFailed, match=name):
            served.describe(config, triton_version="2.51.0")

    def test_a_sampler_that_does_not_say_its_checkpoint_is_refused(self) -> None:
        with pytest.raises(TritonModelFailed, match="which checkpoint"):
            served.describe(model_config_pb2.ModelConfig(), triton_version="2.51.0")
