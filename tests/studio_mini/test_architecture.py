"""The miniature's parts are the real classes, load from disk as they were built, and run as one pipeline."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from export.backbones.qwen_image_edit.checkpoint import (
    PIPELINE_CONDITION_AREA,
    PIPELINE_VAE_AREA,
    CheckpointSettings,
    edit_plus,
    encode_prompt,
    load_pipeline,
    template_prefix_tokens,
)
from studio_mini import architecture
from studio_mini.tokenizer import SPECIAL_TOKENS, edit_template, judge_text, train_tokenizer
from studio_mini.world import prompts


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    architecture.save_checkpoint(folder, seed=3)
    return folder


@pytest.fixture(scope="module")
def pipeline(checkpoint: Path):
    torch.set_num_threads(1)
    return load_pipeline(checkpoint)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_loading_gives_the_weights_that_were_built(pipeline) -> None:
    built = architecture.build_pipeline(seed=3)
    for part in ("transformer", "vae", "text_encoder"):
        loaded, fresh = getattr(pipeline, part).state_dict(), getattr(built, part).state_dict()
        assert loaded.keys() == fresh.keys()
        assert all(torch.equal(loaded[name], fresh[name]) for name in loaded)


def test_dropped_tokens_are_counted_not_assumed(pipeline) -> None:
    template = pipeline.prompt_template_encode
    assert template == edit_template()
    prefix = pipeline.tokenizer(template.split("{}")[0])["input_ids"]
    whole = pipeline.tokenizer(template.format("make the person smile"))["input_ids"]
    start = pipeline.prompt_template_encode_start_idx
    assert whole[:start] == prefix
    assert start == template_prefix_tokens(pipeline.tokenizer, template) != 64


def test_pipeline_paints_a_picture_of_the_right_size(pipeline, picture: Image.Image) -> None:
    embeds, mask = encode_prompt(pipeline, [picture, picture], "make the person smile")
    results = [
        pipeline(
            image=[picture, picture],
            prompt_embeds=embeds,
            prompt_embeds_mask=mask,
            height=128,
            width=128,
            num_inference_steps=2,
            true_cfg_scale=1.0,
            generator=torch.Generator("cpu").manual_seed(seed),
        ).images[0]
        for seed in (1, 1, 2)
    ]
    assert results[0].size == (128, 128)
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_prompt_embeddings_use_positions_of_pictures(pipeline, picture: Image.Image) -> None:
    """diffusers drops ``mm_token_type_ids``; when this fails, it mends that, and ``encode_prompt`` can go."""
    ours, _ = encode_prompt(pipeline, [picture], "make the person smile")
    with torch.no_grad():
        theirs, _ = pipeline.encode_prompt("make the person smile", [picture])
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() > 1e-3


def test_conditioning_picture_becomes_sixteen_tokens(pipeline, picture: Image.Image) -> None:
    inputs = pipeline.processor(text=[judge_text(prompts.NATURAL_QUESTION)], images=[picture])
    assert inputs["image_grid_thw"].tolist() == [[1, 8, 8]]
    assert int(inputs["mm_token_type_ids"].sum()) == 16


def test_processor_refuses_a_wrong_number_of_pictures(pipeline, picture: Image.Image) -> None:
    with pytest.raises(ValueError, match="mention 1 pictures, 2 were given"):
        pipeline.processor(text=[judge_text("?")], images=[picture, picture])


def test_answers_and_special_tokens_are_single_tokens(pipeline) -> None:
    for token in ("Yes", "No", *SPECIAL_TOKENS):
        assert len(pipeline.tokenizer(token)["input_ids"]) == 1


def test_tokenizer_is_lossless_and_the_same_every_time(pipeline) -> None:
    again = train_tokenizer()
    text = 'Füge "Ärger" hinzu: 👓 and smile'
    assert again.get_vocab() == pipeline.tokenizer.get_vocab()
    assert pipeline.tokenizer.decode(again(text)["input_ids"]) == text


def test_variant_without_zero_conditioning_time() -> None:
    assert architecture.build_transformer(zero_cond_t=False).config.zero_cond_t is False
    assert architecture.build_transformer().config.zero_cond_t is True


@pytest.mark.usefixtures("pipeline")
def test_settings_of_the_checkpoint_reach_the_pipeline(checkpoint: Path, tmp_path: Path) -> None:
    assert CheckpointSettings.read(checkpoint) == architecture.SETTINGS
    assert edit_plus.CONDITION_IMAGE_SIZE == edit_plus.VAE_IMAGE_SIZE == 128 * 128
    shutil.copy(checkpoint / "model_index.json", tmp_path)
    without_file = CheckpointSettings.read(tmp_path)
    assert (without_file.condition_image_area, without_file.vae_image_area) == (
        PIPELINE_CONDITION_AREA,
        PIPELINE_VAE_AREA,
    )
