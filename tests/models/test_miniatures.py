"""Miniatures of the published checkpoints through ONNX and ONNX Runtime, against diffusers' own pipeline.

Edit-2509 and Edit-2511 differ in ``zero_cond_t``. The weights are random; buckets are fixed, as an engine's are:
several sizes, text lengths, numbers of pictures and batches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import QwenImageEditPipeline

from eacps import tensors
from eacps.models.backbones.qwen_image_edit.backbone import Backbone
from eacps.models.backbones.qwen_image_edit.contract import DENOISER, TEXT_ENCODER
from eacps.models.checkpoint_config import ServedShapes
from eacps.models.conditioning import ContentCache
from eacps.models.editing import Editor
from eacps.models.failures import InvalidInput
from eacps.models.networks import Network
from eacps.models.request import EditRequest, parse_edit
from eacps.tensors import ModelSpec
from export.backbones.qwen_image_edit.assets import read_checkpoint_config
from export.backbones.qwen_image_edit.checkpoint import EDIT_CONDITION_AREA, CheckpointSettings, assemble_pipeline
from export.backbones.qwen_image_edit.denoiser import DenoiserNetwork
from export.backbones.qwen_image_edit.denoiser_graph import DenoiserGraph
from export.backbones.qwen_image_edit.text_encoder import TextEncoderGraph, TextEncoderNetwork, shapes_for
from export.backbones.qwen_image_edit.vae import VaeDecoderGraph, VaeDecoderNetwork, VaeEncoderGraph, VaeEncoderNetwork
from export.networks.network import TorchNetwork
from export.parity import open_session
from export.precision import Precision
from studio_mini.architecture import build_transformer
from tests.models.studio import DENOISER_GAIN, Studio, amplify, picture
from tests.oracle.reference import assert_same_picture, departs, reference_picture

pytestmark = [
    # torch's exporter uses what torch has deprecated.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
    pytest.mark.timeout(600),
]

SHORT = "make the person smile"
LONG = "make the person smile and look to the left, with a hat and glasses, in front of a plain wall"
STEPS = 3
SHAPES = ServedShapes(
    sizes=((128, 128), (160, 96)),
    texts=((1, 64), (1, 128), (2, 96), (2, 160), (3, 128), (3, 192)),
    max_batch=2,
    fixed=True,
)


@pytest.fixture(scope="module")
def exported(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Network]:
    """Everything but the denoiser, which both checkpoints share."""
    folder, pipeline = tmp_path_factory.mktemp("networks"), studio.pipeline
    return {
        "text_encoder": through_onnx(
            TextEncoderNetwork(pipeline.text_encoder, studio.config.vision, shapes_for((8, 8))), folder
        ),
        "vae_encoder": through_onnx(VaeEncoderNetwork(pipeline.vae), folder),
        "vae_decoder": through_onnx(VaeDecoderNetwork(pipeline.vae), folder),
    }


@pytest.fixture(scope="module", params=[False, True], ids=["2509", "2511"])
def miniature(
    request: pytest.FixtureRequest,
    studio: Studio,
    exported: dict[str, Network],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Studio, Editor]:
    """The pipeline with that switch, and an editor over its exported networks."""
    transformer = build_transformer(5, zero_cond_t=request.param, layers=2)
    amplify(transformer, DENOISER_GAIN)
    pipeline = type(studio.pipeline)(**{**studio.pipeline.components, "transformer": transformer})
    for name in ("prompt_template_encode", "prompt_template_encode_start_idx"):
        setattr(pipeline, name, getattr(studio.pipeline, name))
    pipeline.set_progress_bar_config(disable=True)
    denoise = through_onnx(DenoiserNetwork(transformer), tmp_path_factory.mktemp("denoiser"))
    own = dataclasses.replace(studio, pipeline=pipeline, config=dataclasses.replace(studio.config, shapes=SHAPES))
    backbone = Backbone(own.config, {"denoiser": denoise, **exported}, own.assets, ContentCache(100_000_000))
    return own, Editor(backbone)


def through_onnx(network: TorchNetwork, folder: Path) -> Network:
    path = folder / f"{network.spec.name}.onnx"
    network.write_onnx(path, Precision.FP32)
    session = open_session(path)
    output = network.spec.outputs[0].name

    async def call(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        feeds = {name: tensor.contiguous().numpy() for name, tensor in inputs.items()}
        return torch.from_numpy(session.run([output], feeds)[0])

    return call


def edit_request(pictures: np.ndarray, prompt: str, seeds: tuple[int, ...]) -> EditRequest:
    return EditRequest(
        pictures=pictures,
        scene=None,
        edit_mask=None,
        prompt=prompt,
        negative_prompt=None,
        true_cfg_scale=1.0,
        recipes=tuple(((seed, 1.0),) for seed in seeds),
        steps=STEPS,
        start=0,
        latents=None,
    )


@pytest.mark.parametrize(
    ("size", "pictures", "prompt", "batch"),
    [
        ((128, 128), 1, SHORT, 1),
        ((160, 96), 1, LONG, 3),
        ((160, 96), 2, SHORT, 1),
        ((128, 128), 2, LONG, 3),
        ((160, 96), 3, SHORT, 3),
        ((128, 128), 3, LONG, 1),
    ],
)
async def test_a_bucket_makes_the_pipelines_pictures(
    miniature: tuple[Studio, Editor], size: tuple[int, int], pictures: int, prompt: str, batch: int
) -> None:
    studio, editor = miniature
    shown = np.stack([picture(10 + number, size[1], size[0]) for number in range(pictures)])
    seeds = tuple(range(5, 5 + batch))
    edited = await editor.edit(edit_request(shown, prompt, seeds))
    for made, seed in zip(edited.pictures.numpy(), seeds, strict=True):
        assert_same_picture(made, reference_picture(studio.pipeline, list(shown), prompt, seed, steps=STEPS))


async def test_the_switch_shows_in_the_picture(miniature: tuple[Studio, Editor]) -> None:
    """Or else the comparison would not notice a checkpoint exported with the other one's."""
    studio, editor = miniature
    edited = await editor.edit(edit_request(picture(10)[None], SHORT, (5,)))
    other = build_transformer(5, zero_cond_t=not studio.pipeline.transformer.config.zero_cond_t, layers=2)
    amplify(other, DENOISER_GAIN)
    pipeline = studio.pipeline
    own, pipeline.transformer = pipeline.transformer, other
    try:
        expected = reference_picture(pipeline, [picture(10)], SHORT, 5, steps=STEPS)
    finally:
        pipeline.transformer = own
    assert departs(edited.pictures[0].numpy(), expected)


async def test_what_no_bucket_holds_is_refused(miniature: tuple[Studio, Editor]) -> None:
    studio, editor = miniature
    with pytest.raises(InvalidInput, match="tokens with its 1 pictures, at most 128 fit"):
        await editor.edit(edit_request(picture(10)[None], LONG * 3, (5,)))

    def arrays(pictures: np.ndarray) -> dict[str, Any]:
        words = np.frombuffer(SHORT.encode(), np.uint8)
        numbers = {"true_cfg_scale": np.ones(1, np.float32)} | {
            name: np.array([value], np.int32) for name, value in (("steps", 4), ("start_step", 0))
        }
        recipe = {"seeds": np.array([[5]], np.uint32), "coefficients": np.ones((1, 1), np.float32)}
        return {"pictures": pictures, "prompt": words, **numbers, **recipe}

    backbone = Backbone(studio.config, {}, studio.assets, ContentCache(0))
    with pytest.raises(InvalidInput, match="are 96x160 pixels, the engines were built for 128x128, 160x96"):
        parse_edit(arrays(picture(1, 160, 96)[None]), backbone)
    with pytest.raises(InvalidInput, match="are 4, the checkpoint takes at most 3"):
        parse_edit(arrays(np.stack([picture(1)] * 4)), backbone)


async def test_the_first_qwen_image_edit_shows_its_one_picture_in_full(studio: Studio) -> None:
    """Its pipeline fits the picture to 1024x1024 pixels for both encoders, and its prompt numbers no picture."""
    parts = studio.pipeline.components
    transformer = build_transformer(5, zero_cond_t=False, layers=2)
    amplify(transformer, DENOISER_GAIN)
    settings = CheckpointSettings("edit", condition_image_area=EDIT_CONDITION_AREA)
    pipeline = assemble_pipeline(
        transformer=transformer,
        vae=parts["vae"],
        text_encoder=parts["text_encoder"],
        scheduler=parts["scheduler"],
        processor=parts["processor"],
        settings=settings,
        cls=QwenImageEditPipeline,
    )
    shapes = ServedShapes(sizes=((128, 128),), texts=((1, 2048),), max_batch=1, fixed=False)
    checkpoint_config = read_checkpoint_config(pipeline, settings, "edit", shapes)
    assert checkpoint_config.vision == studio.config.vision
    networks = {
        "denoiser": called(DenoiserGraph(transformer), DENOISER),
        "text_encoder": called(TextEncoderGraph(parts["text_encoder"]), TEXT_ENCODER),
        "vae_encoder": called(VaeEncoderGraph(parts["vae"]), tensors.VAE_ENCODER),
        "vae_decoder": called(VaeDecoderGraph(parts["vae"]), tensors.VAE_DECODER),
    }
    editor = Editor(Backbone(checkpoint_config, networks, studio.assets, ContentCache(100_000_000)))
    edited = await editor.edit(edit_request(picture(10)[None], SHORT, (5,)))
    expected = reference_picture(pipeline, [picture(10)], SHORT, 5, steps=STEPS)
    assert_same_picture(edited.pictures[0].numpy(), expected)


def called(module: torch.nn.Module, spec: ModelSpec) -> Network:
    """A module as a network of the contract."""

    async def call(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            return module(*(inputs[tensor.name] for tensor in spec.inputs))

    return call
