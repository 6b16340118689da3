"""The checked-in checkpoint: complete, small, and trained (bounds are loose; the model card holds the figures)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from export.backbones.qwen_image_edit.checkpoint import CheckpointSettings, encode_prompt, load_judge, load_pipeline
from export.backbones.qwen_image_edit.processor import EditProcessor
from studio_mini import architecture
from studio_mini.tokenizer import judge_text, train_tokenizer
from studio_mini.train.latent_cache import WIDTHS
from studio_mini.train.training_data import SUFFIX
from studio_mini.world import prompts
from studio_mini.world.tasks import Split, Task, task

CHECKPOINT = Path(architecture.__file__).parent / "checkpoint"


@pytest.fixture(scope="module")
def pipeline():
    torch.set_num_threads(1)
    return load_pipeline(CHECKPOINT)


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return [task(seed, Split.HELD_OUT) for seed in range(1000, 1012)]


@pytest.fixture(scope="module")
def judge():
    return load_judge(CHECKPOINT), EditProcessor.from_pretrained(CHECKPOINT / "processor")


def p_yes(judge, picture: np.ndarray, question: str) -> float:
    model, processor = judge
    inputs = processor(text=[judge_text(question)], images=[Image.fromarray(picture)])
    with torch.no_grad():
        logits = model(**inputs).logits[0, -1]
    answers = processor.tokenizer.convert_tokens_to_ids(["Yes", "No"])
    return float(logits[answers].softmax(0)[0])


def test_all_weights_fit_in_sixty_megabytes() -> None:
    files = [path for path in CHECKPOINT.rglob("*") if path.suffix in (".safetensors", ".onnx")]
    parts = {path.relative_to(CHECKPOINT).parts[0] for path in files}
    assert {"transformer", "vae", "text_encoder"} <= parts
    assert sum(path.stat().st_size for path in files) <= 60e6


def test_settings_are_the_architectures(pipeline) -> None:
    assert CheckpointSettings.read(CHECKPOINT) == architecture.SETTINGS
    assert pipeline.transformer.config.zero_cond_t is True
    assert pipeline.text_encoder.dtype == pipeline.transformer.dtype == torch.float32


def test_prompts_of_today_fit_the_tokenizer_of_the_weights(pipeline) -> None:
    # The tokenizer stays what the weights were trained with; words that came later are spelled in more tokens.
    longest = max((p for edit in prompts.all_edits() for p in prompts.phrases(edit)), key=len)
    spoken = pipeline.tokenizer(longest[0].upper() + longest[1:] + "." + SUFFIX)["input_ids"]
    assert len(spoken) <= WIDTHS[0]
    assert pipeline.tokenizer.decode(spoken).startswith(longest[0].upper() + longest[1:])
    assert len(pipeline.tokenizer) == len(train_tokenizer())


def test_judge_tells_looks_and_transplants_apart(judge, tasks: list[Task]) -> None:
    right = [
        (p_yes(judge, t.truth.picture, question) > 0.5) is (accessory is t.look.accessory)
        for t in tasks
        for accessory, (question, *_) in prompts.ACCESSORY_QUESTIONS.items()
    ]
    assert np.mean(right) > 0.85
    natural = [p_yes(judge, t.truth.picture, prompts.NATURAL_QUESTION) for t in tasks]
    spoilt = [p_yes(judge, t.prior, prompts.NATURAL_QUESTION) for t in tasks]
    assert np.mean(natural) > np.mean(spoilt) + 0.15


def test_judge_knows_whether_an_instruction_was_followed(judge, tasks: list[Task]) -> None:
    followed = [p_yes(judge, t.truth.picture, prompts.instruction_question(t.prompt)) for t in tasks]
    ignored = [
        p_yes(judge, t.scene.picture, prompts.instruction_question(t.prompt))
        for t in tasks
        if not t.edit.holds(t.scene_look)
    ]
    assert np.mean(followed) > np.mean(ignored) + 0.25


def test_denoiser_paints_seeds_apart_in_the_place_of_the_scene(pipeline, tasks: list[Task]) -> None:
    example = tasks[0]
    shown = [Image.fromarray(example.prior)]
    embeds, mask = encode_prompt(pipeline, shown, example.prompt)
    pictures = pipeline(
        image=shown,
        prompt_embeds=embeds,
        prompt_embeds_mask=mask,
        height=128,
        width=128,
        num_inference_steps=architecture.DEFAULT_STEPS,
        true_cfg_scale=1.0,
        num_images_per_prompt=4,
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in range(4)],
        output_type="np",
    ).images
    truth = example.truth.picture / 255
    corners = np.s_[:, :24, :24], np.s_[:, :24, -24:]
    assert all(np.abs(pictures[corner] - truth[corner[1:]]).mean() < 0.08 for corner in corners)
    assert pictures.std(axis=0).mean() > 0.01
