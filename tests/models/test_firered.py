"""FireRed-Image-Edit 1.0 and 1.1 load as Qwen-Image-Edit-2509 does: a miniature in their configuration and file layout.

The configuration is that of 1.0's published folder (model_index.json, transformer, scheduler), the sizes are
studio-mini's. Of 1.1 it is known that its architecture is the same and that it does not set ``zero_cond_t`` either
(sgl-project/sglang#20862; its makers in kohya-ss/musubi-tuner#911). Text encoder and processor are written as
transformers 4 wrote them, as theirs are.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from eacps.licenses import business_use
from export.backbones import exporter_for
from export.backbones.qwen_image_edit.assets import read_checkpoint_config, write_program_assets
from export.backbones.qwen_image_edit.checkpoint import (
    CheckpointSettings,
    load_pipeline,
    load_text_encoder,
    max_pictures,
)
from export.backbones.qwen_image_edit.processor import EditProcessor
from export.prepared import prepare
from export.request import ExportRequest, gather
from export.weights import check_configurations, check_headers
from studio_mini.architecture import build_transformer
from tests.models.studio import DENOISER_GAIN, SHAPES, Studio, amplify, picture
from tests.models.test_miniatures import LONG, SHORT, STEPS, edit_request
from tests.oracle.reference import assert_same_picture, reference_picture

MODEL_INDEX = {
    "_class_name": "QwenImageEditPlusPipeline",
    "_diffusers_version": "0.36.0.dev0",
    "processor": ["transformers", "Qwen2VLProcessor"],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
    "tokenizer": ["transformers", "Qwen2Tokenizer"],
    "transformer": ["diffusers", "QwenImageTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKLQwenImage"],
}
TRANSFORMER_KEYS = {
    "_class_name",
    "attention_head_dim",
    "axes_dims_rope",
    "guidance_embeds",
    "in_channels",
    "joint_attention_dim",
    "num_attention_heads",
    "num_layers",
    "out_channels",
    "patch_size",
}
SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "_diffusers_version": "0.36.0.dev0",
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "invert_sigmas": False,
    "max_image_seq_len": 8192,
    "max_shift": 0.9,
    "num_train_timesteps": 1000,
    "shift": 1.0,
    "shift_terminal": 0.02,
    "stochastic_sampling": False,
    "time_shift_type": "exponential",
    "use_beta_sigmas": False,
    "use_dynamic_shifting": True,
    "use_exponential_sigmas": False,
    "use_karras_sigmas": False,
}


@pytest.fixture(scope="module")
def firered(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature, in the layout of the published folder."""
    folder = tmp_path_factory.mktemp("firered") / "FireRed-Image-Edit-1.1"
    shutil.copytree(
        checkpoint_dir, folder, ignore=shutil.ignore_patterns("eacps.json", "calibration.json", "README.md", "judge")
    )
    write(folder / "model_index.json", MODEL_INDEX)
    write(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    transformer = build_transformer(11, zero_cond_t=False, layers=2)
    amplify(transformer, DENOISER_GAIN)
    shutil.rmtree(folder / "transformer")
    transformer.save_pretrained(folder / "transformer")
    written = read(folder / "transformer" / "config.json")
    kept = {key: value for key, value in written.items() if key in TRANSFORMER_KEYS}
    write(folder / "transformer" / "config.json", kept | {"_diffusers_version": "0.36.0.dev0"})
    write(folder / "text_encoder" / "config.json", as_transformers_4(read(folder / "text_encoder" / "config.json")))
    spread_tokenizer(folder / "processor")
    return folder


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2), encoding="utf-8")


def as_transformers_4(config: dict[str, Any]) -> dict[str, Any]:
    """Bring the text model's settings to the top, with its rotary embedding as it was written then."""
    text, vision = dict(config.pop("text_config")), dict(config.pop("vision_config"))
    rope = text.pop("rope_parameters")
    del text["model_type"], text["layer_types"]
    scaling = {"mrope_section": rope["mrope_section"], "rope_type": "default", "type": "default"}
    vision = {key: value for key, value in vision.items() if key != "rope_parameters"} | {"model_type": "qwen2_5_vl"}
    old = text | {"rope_scaling": scaling, "rope_theta": rope["rope_theta"], "vision_config": vision}
    return config | old | {"transformers_version": "4.57.3"}


def spread_tokenizer(folder: Path) -> None:
    """Write vocabulary and merges as files of their own, and no tokenizer.json."""
    tokenizer = read(folder / "tokenizer.json")
    write(folder / "vocab.json", tokenizer["model"]["vocab"])
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    keys = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    added = {str(token["id"]): {key: token[key] for key in keys} for token in tokenizer["added_tokens"]}
    settings = read(folder / "tokenizer_config.json")
    write(folder / "tokenizer_config.json", settings | {"added_tokens_decoder": added})
    (folder / "tokenizer.json").unlink()


def test_it_is_served_as_2509_is(firered: Path, checkpoint_dir: Path) -> None:
    prepared = prepare(gather(ExportRequest(str(firered), faces=str(checkpoint_dir / "faces"))))
    assert prepared.settings == CheckpointSettings(
        "FireRed-Image-Edit-1.1", condition_image_area=384 * 384, vae_image_area=1024 * 1024, default_steps=40
    )
    assert max_pictures(firered) == 3
    assert prepared.pipeline.transformer.config.zero_cond_t is False
    assert prepared.config.schedule.shift_terminal == 0.02
    assert prepared.buckets.sizes[0] == (1024, 1024)
    assert prepared.licenses["denoiser"].name == "Apache-2.0"
    assert "FireRed-Image-Edit" in prepared.licenses["denoiser"].source
    assert business_use({"denoiser": prepared.licenses["denoiser"]}).answer == "yes"


def test_every_weight_is_accounted_for(firered: Path) -> None:
    parts = exporter_for(firered).parts_of(firered)
    check_configurations(firered, parts)
    pipeline = load_pipeline(firered)
    check_headers(firered, {name: getattr(pipeline, name) for name in parts}, parts)


def test_files_of_transformers_4_are_read_as_ours_are(firered: Path, checkpoint_dir: Path) -> None:
    old, new = (EditProcessor.from_pretrained(folder / "processor") for folder in (firered, checkpoint_dir))
    text = ["<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>make the person smile<|im_end|>\n"]
    inputs = [one(text=text, images=[Image.fromarray(picture(3))]) for one in (old, new)]
    assert torch.equal(inputs[0]["input_ids"], inputs[1]["input_ids"])
    with torch.no_grad():
        told = [
            load_text_encoder(folder).model(**one).last_hidden_state
            for folder, one in zip((firered, checkpoint_dir), inputs, strict=True)
        ]
    torch.testing.assert_close(*told)


@pytest.mark.parametrize(("pictures", "prompt"), [(1, LONG), (2, SHORT)])
async def test_it_makes_the_pipelines_pictures(firered: Path, tmp_path: Path, pictures: int, prompt: str) -> None:
    small = tmp_path / "small"
    shutil.copytree(firered, small)
    settings = CheckpointSettings(
        "firered-mini", condition_image_area=128 * 128, vae_image_area=128 * 128, default_steps=STEPS
    )
    settings.write(small)
    pipeline = load_pipeline(small)
    config = read_checkpoint_config(pipeline, settings, "firered", SHAPES)
    write_program_assets(tmp_path / "assets", pipeline, config)
    editor = Studio(pipeline, config, tmp_path / "assets", {}).editor()
    shown = np.stack([picture(10 + number) for number in range(pictures)])
    edited = await editor.edit(edit_request(shown, prompt, (5,)))
    expected = reference_picture(pipeline, list(shown), prompt, 5, steps=STEPS)
    assert_same_picture(edited.pictures.numpy()[0], expected)
