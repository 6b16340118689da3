"""Load a Qwen-Image-Edit checkpoint, miniature or full size, as diffusers' own pipeline.

A checkpoint may say in ``eacps.json`` what the pipeline keeps in module constants; one without that file gets the
pipeline's own. ``encode_prompt`` is the right way to condition the pipeline: diffusers 0.42.1 leaves out
``mm_token_type_ids``, and the text encoder then places picture tokens as if they were text
(huggingface/diffusers#14194).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
)
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as edit_plus
from PIL import Image
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

# Training and oracle condition on the text that is served: one function makes it.
from eacps.models.backbones.qwen_image_edit.prompt import edit_prompt as edit_text
from eacps.models.backbones.qwen_image_edit.prompt import template_opening
from eacps.models.checkpoint_config import UnsupportedCheckpoint
from eacps.tensors import JUDGE_NETWORK
from export.backbones.qwen_image_edit.processor import EditProcessor
from export.checkpoint import CheckpointSettings as Settings
from export.checkpoint import Part, load_part, pipeline_name

JUDGE_PART = JUDGE_NETWORK
PIPELINE_CONDITION_AREA = 384 * 384
PIPELINE_VAE_AREA = 1024 * 1024
EDIT_CONDITION_AREA = 1024 * 1024  # the first Qwen-Image-Edit shows its text encoder the picture in full

EditPipeline: TypeAlias = QwenImageEditPipeline | QwenImageEditPlusPipeline
PARTS = {
    "transformer": Part("diffusion_pytorch_model", "_class_name", "QwenImageTransformer2DModel"),
    "vae": Part("diffusion_pytorch_model", "_class_name", "AutoencoderKLQwenImage"),
    "text_encoder": Part("model", "model_type", "qwen2_5_vl"),
    JUDGE_PART: Part("model", "model_type", "qwen2_5_vl"),
}
OPTIONAL_PARTS = frozenset({JUDGE_PART})
# What the judge's vision tower shares with the text encoder's: pictures are cut and turned once, for both.
SHARED_VISION = ("patch_size", "temporal_patch_size", "spatial_merge_size", "window_size")
# By the name in model_index.json: the class, and how many pictures it was trained with.
PIPELINES: dict[str, tuple[type[EditPipeline], int]] = {
    "QwenImageEditPipeline": (QwenImageEditPipeline, 1),
    "QwenImageEditPlusPipeline": (QwenImageEditPlusPipeline, 3),
}


@dataclass(frozen=True)
class CheckpointSettings(Settings):
    """What a checkpoint says of itself; see also `export.checkpoint.CheckpointSettings`. Areas in pixels."""

    _: KW_ONLY
    condition_image_area: int = PIPELINE_CONDITION_AREA
    vae_image_area: int = PIPELINE_VAE_AREA

    @classmethod
    def of_pipeline(cls, checkpoint: Path, name: str) -> CheckpointSettings:
        """Return the settings of a checkpoint that states none; raises as `pipeline_class` does."""
        area = EDIT_CONDITION_AREA if max_pictures(checkpoint) == 1 else PIPELINE_CONDITION_AREA
        return cls(name=name, condition_image_area=area)


def max_pictures(checkpoint: Path) -> int:
    """Most conditioning pictures that the checkpoint takes; raises as `pipeline_class` does."""
    return _pipeline_of(checkpoint)[1]


def template_prefix_tokens(tokenizer: PreTrainedTokenizerFast, template: str) -> int:
    """Count the tokens of ``template`` before its picture or prompt: how many hidden states the pipeline drops."""
    return len(tokenizer(template_opening(template))["input_ids"])


def assemble_pipeline(
    *,
    transformer: QwenImageTransformer2DModel,
    vae: AutoencoderKLQwenImage,
    text_encoder: Qwen2_5_VLForConditionalGeneration,
    scheduler: FlowMatchEulerDiscreteScheduler,
    processor: EditProcessor,
    settings: CheckpointSettings,
    cls: type[EditPipeline] = QwenImageEditPlusPipeline,
) -> EditPipeline:
    """Put the parts together. Sets EditPlus's area constants, which hold for the whole process."""
    pipeline = _joined(cls, processor, scheduler=scheduler, vae=vae, text_encoder=text_encoder, transformer=transformer)
    if cls is QwenImageEditPlusPipeline:
        edit_plus.CONDITION_IMAGE_SIZE = settings.condition_image_area
        edit_plus.VAE_IMAGE_SIZE = settings.vae_image_area
    return pipeline


def load_pipeline(checkpoint: Path, dtype: torch.dtype = torch.float32) -> EditPipeline:
    """Load every part of ``checkpoint`` from disk and put them together.

    Callers pass ``height`` and ``width`` when the checkpoint is not made for about 1024x1024 pixels: that default
    is written into the pipeline's ``__call__``.

    Raises:
        UnsupportedCheckpoint: It is of another pipeline.
        UnusableWeights: The files of a part are not those that it describes.
    """
    checkpoint = Path(checkpoint)
    return assemble_pipeline(
        transformer=load_transformer(checkpoint, dtype),
        vae=load_vae(checkpoint, dtype),
        text_encoder=load_text_encoder(checkpoint, dtype),
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(checkpoint, subfolder="scheduler"),
        processor=EditProcessor.from_pretrained(checkpoint / "processor"),
        settings=CheckpointSettings.read(checkpoint),
        cls=_pipeline_of(checkpoint)[0],
    )


def load_skeleton(checkpoint: Path) -> EditPipeline:
    """Put the parts together without weights, whose tensors are on torch's ``meta`` device: shapes, no memory.

    Such a pipeline is for inspection and cannot run, so no constant of the process is set. The judge that a checkpoint
    may bring is its attribute ``judge``.

    Raises:
        UnsupportedCheckpoint: It is of another pipeline, or its judge sees pictures otherwise than its text encoder.
    """
    with torch.device("meta"):
        transformer = QwenImageTransformer2DModel.from_config(
            QwenImageTransformer2DModel.load_config(checkpoint, subfolder="transformer")
        )
        vae = AutoencoderKLQwenImage.from_config(AutoencoderKLQwenImage.load_config(checkpoint, subfolder="vae"))
        text_encoder = _skeleton_of(checkpoint / "text_encoder")
    pipeline = _joined(
        _pipeline_of(checkpoint)[0],
        EditProcessor.from_pretrained(checkpoint / "processor"),
        transformer=transformer,
        vae=vae,
        text_encoder=text_encoder,
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(checkpoint, subfolder="scheduler"),
    )
    if has_judge(checkpoint):
        with torch.device("meta"):
            pipeline.judge = _skeleton_of(checkpoint / JUDGE_PART)
        _check_vision(checkpoint, text_encoder.config, pipeline.judge.config)
    return pipeline


def has_judge(checkpoint: Path) -> bool:
    """Whether a checkpoint brings a judge."""
    return (checkpoint / JUDGE_PART).exists()


def load_transformer(checkpoint: Path, dtype: torch.dtype = torch.float32) -> QwenImageTransformer2DModel:
    """Load the denoiser.

    Raises:
        UnusableWeights: Its files do not hold all of its weights, or others, as for the other parts.
    """
    return load_part(QwenImageTransformer2DModel, checkpoint, "transformer", PARTS["transformer"], torch_dtype=dtype)


def load_vae(checkpoint: Path, dtype: torch.dtype = torch.float32) -> AutoencoderKLQwenImage:
    """Load the autoencoder."""
    return load_part(AutoencoderKLQwenImage, checkpoint, "vae", PARTS["vae"], torch_dtype=dtype)


def load_text_encoder(checkpoint: Path, dtype: torch.dtype = torch.float32) -> Qwen2_5_VLForConditionalGeneration:
    """Load text encoder and language head."""
    return load_part(Qwen2_5_VLForConditionalGeneration, checkpoint, "text_encoder", PARTS["text_encoder"], dtype=dtype)


def load_judge(checkpoint: Path, dtype: torch.dtype = torch.float32) -> Qwen2_5_VLForConditionalGeneration:
    """Load what answers questions, language head included: the checkpoint's judge, or else its text encoder."""
    part = JUDGE_PART if has_judge(checkpoint) else "text_encoder"
    return load_part(Qwen2_5_VLForConditionalGeneration, checkpoint, part, PARTS[part], dtype=dtype)


@torch.no_grad()
def encode_prompt(
    pipeline: EditPipeline, pictures: Sequence[Image.Image], prompt: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Encode one prompt as the checkpoints were trained, with 3-D positions for picture tokens.

    Args:
        pipeline: As ``load_pipeline`` returns it.
        pictures: Conditioning pictures, the prior first; resized here as the pipeline does.
        prompt: Edit prompt.

    Returns:
        Embeddings (1, tokens, channels) and their mask (1, tokens), to be given to the pipeline as
        ``prompt_embeds`` and ``prompt_embeds_mask``.
    """
    plus = isinstance(pipeline, QwenImageEditPlusPipeline)
    area = edit_plus.CONDITION_IMAGE_SIZE if plus else EDIT_CONDITION_AREA
    resized = []
    for picture in pictures:
        width, height = edit_plus.calculate_dimensions(area, picture.width / picture.height)
        resized.append(pipeline.image_processor.resize(picture, height, width))
    text = edit_text(pipeline.prompt_template_encode, prompt, len(resized))
    inputs = pipeline.processor(text=[text], images=resized).to(pipeline.text_encoder.device)
    outputs = pipeline.text_encoder.model(**inputs)
    embeds = outputs.last_hidden_state[:, pipeline.prompt_template_encode_start_idx :]
    mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
    return embeds, mask


def _skeleton_of(folder: Path) -> Qwen2_5_VLForConditionalGeneration:
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig.from_pretrained(folder))


def _check_vision(checkpoint: Path, text_encoder: Qwen2_5_VLConfig, judge: Qwen2_5_VLConfig) -> None:
    """Check that pictures prepared for the text encoder are what the judge takes."""
    one, other = (_vision_of(config) for config in (text_encoder, judge))
    if differences := [f"{key} is {other[key]} instead of {one[key]}" for key in one if other[key] != one[key]]:
        raise UnsupportedCheckpoint(
            f"{checkpoint / JUDGE_PART / 'config.json'} sees pictures otherwise than the text encoder: "
            f"{', '.join(differences)}"
        )


def _vision_of(config: Qwen2_5_VLConfig) -> dict[str, Any]:
    vision: Any = config.vision_config
    derived = {"head width": vision.hidden_size // vision.num_heads, "rope_theta": vision.rope_parameters["rope_theta"]}
    return {key: getattr(vision, key) for key in SHARED_VISION} | derived


def _joined(cls: type[EditPipeline], processor: EditProcessor, **parts: Any) -> EditPipeline:
    """Put the parts together, with the number of tokens that the tokenizer makes of the template's beginning."""
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    pipeline = cls(tokenizer=processor.tokenizer, processor=processor, **parts)
    pipeline.prompt_template_encode_start_idx = template_prefix_tokens(
        processor.tokenizer, pipeline.prompt_template_encode
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _pipeline_of(checkpoint: Path) -> tuple[type[EditPipeline], int]:
    """Class and number of pictures by ``model_index.json``.

    Raises:
        UnsupportedCheckpoint: It is of another pipeline, or does not say of which.
    """
    name = pipeline_name(checkpoint)
    if name not in PIPELINES:
        raise UnsupportedCheckpoint(f"{checkpoint} is for {name}; served are {', '.join(PIPELINES)}")
    return PIPELINES[name]
