"""Load a Qwen-Image-Edit checkpoint, miniature or full size, as diffusers' own pipeline.

A checkpoint may say in ``eacps.json`` what the pipeline keeps in module constants; one without that file gets the
pipeline's own. ``encode_prompt`` is the right way to condition the pipeline: diffusers 0.42.1 leaves out
``mm_token_type_ids``, and the text encoder then places picture tokens as if they were text
(huggingface/diffusers#14194).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

from eacps.models.facts import UnsupportedCheckpoint

# Training and oracle condition on the text that is served: one function makes it.
from eacps.models.prompt import edit_prompt as edit_text
from eacps.models.prompt import template_opening
from export.processor import EditProcessor

SETTINGS_FILE = "eacps.json"
MODEL_INDEX = "model_index.json"
PIPELINE_CONDITION_AREA = 384 * 384
PIPELINE_VAE_AREA = 1024 * 1024
EDIT_CONDITION_AREA = 1024 * 1024  # the first Qwen-Image-Edit shows its text encoder the picture in full

EditPipeline = QwenImageEditPipeline | QwenImageEditPlusPipeline
# By the name in model_index.json: the class, and how many pictures it was trained with.
PIPELINES: dict[str, tuple[type[EditPipeline], int]] = {
    "QwenImageEditPipeline": (QwenImageEditPipeline, 1),
    "QwenImageEditPlusPipeline": (QwenImageEditPlusPipeline, 3),
}


@dataclass(frozen=True)
class CheckpointSettings:
    """What a checkpoint says of itself.

    Areas in pixels; ``face_pack`` is a folder relative to the checkpoint, if it has one, and ``face_detection_size``
    the side of the square, in pixels, that its detector is made for (640 for InsightFace's packs).
    """

    name: str
    condition_image_area: int = PIPELINE_CONDITION_AREA
    vae_image_area: int = PIPELINE_VAE_AREA
    default_steps: int = 40
    face_pack: str | None = None
    face_detection_size: int = 640

    @classmethod
    def read(cls, checkpoint: Path, name: str | None = None) -> CheckpointSettings:
        """Read ``eacps.json``, or take the pipeline's constants where the checkpoint has none.

        Args:
            checkpoint: Its folder.
            name: For one without the file; the folder's by default.

        Raises:
            TypeError: The file has a key this class does not know, or lacks ``name``.
        """
        path = checkpoint / SETTINGS_FILE
        if path.exists():
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        area = EDIT_CONDITION_AREA if max_pictures(checkpoint) == 1 else PIPELINE_CONDITION_AREA
        return cls(name=name or checkpoint.name, condition_image_area=area)

    def write(self, checkpoint: Path) -> None:
        """Write ``eacps.json``."""
        text = json.dumps(asdict(self), indent=2) + "\n"
        (checkpoint / SETTINGS_FILE).write_text(text, encoding="utf-8")


def max_pictures(checkpoint: Path) -> int:
    """Most conditioning pictures that the checkpoint takes; raises as `pipeline_class` does."""
    return _pipeline_of(checkpoint)[1]


def template_prefix_tokens(tokenizer: Qwen2Tokenizer, template: str) -> int:
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

    It is to be looked at, not run: no constant of the process is set.

    Raises:
        UnsupportedCheckpoint: It is of another pipeline.
    """
    with torch.device("meta"):
        transformer = QwenImageTransformer2DModel.from_config(
            QwenImageTransformer2DModel.load_config(checkpoint, subfolder="transformer")
        )
        vae = AutoencoderKLQwenImage.from_config(AutoencoderKLQwenImage.load_config(checkpoint, subfolder="vae"))
        text_config = Qwen2_5_VLConfig.from_pretrained(checkpoint / "text_encoder")
        text_encoder = Qwen2_5_VLForConditionalGeneration(text_config)
    return _joined(
        _pipeline_of(checkpoint)[0],
        EditProcessor.from_pretrained(checkpoint / "processor"),
        transformer=transformer,
        vae=vae,
        text_encoder=text_encoder,
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(checkpoint, subfolder="scheduler"),
    )


def load_transformer(checkpoint: Path, dtype: torch.dtype = torch.float32) -> QwenImageTransformer2DModel:
    """Load the denoiser."""
    return QwenImageTransformer2DModel.from_pretrained(checkpoint, subfolder="transformer", torch_dtype=dtype)


def load_vae(checkpoint: Path, dtype: torch.dtype = torch.float32) -> AutoencoderKLQwenImage:
    """Load the autoencoder."""
    return AutoencoderKLQwenImage.from_pretrained(checkpoint, subfolder="vae", torch_dtype=dtype)


def load_text_encoder(checkpoint: Path, dtype: torch.dtype = torch.float32) -> Qwen2_5_VLForConditionalGeneration:
    """Load text encoder and language head."""
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, subfolder="text_encoder", dtype=dtype)


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
    try:
        name = json.loads((checkpoint / MODEL_INDEX).read_text(encoding="utf-8"))["_class_name"]
    except (ValueError, KeyError, TypeError) as error:
        raise UnsupportedCheckpoint(f"{checkpoint / MODEL_INDEX} names no pipeline: {error!r}") from error
    if name not in PIPELINES:
        raise UnsupportedCheckpoint(f"{checkpoint} is for {name}; served are {', '.join(PIPELINES)}")
    return PIPELINES[name]
