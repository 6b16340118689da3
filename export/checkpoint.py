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

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
)
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as edit_plus
from PIL import Image
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

# Training and oracle condition on the text that is served: one function makes it.
from eacps.models.prompt import edit_prompt as edit_text
from export.processor import EditProcessor

SETTINGS_FILE = "eacps.json"
PIPELINE_CONDITION_AREA = 384 * 384
PIPELINE_VAE_AREA = 1024 * 1024


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
    def read(cls, checkpoint: Path) -> CheckpointSettings:
        """Read ``eacps.json``, or take the pipeline's constants where the checkpoint has none.

        Raises:
            TypeError: The file has a key this class does not know, or lacks ``name``.
        """
        path = checkpoint / SETTINGS_FILE
        if not path.exists():
            return cls(name=checkpoint.name)
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, checkpoint: Path) -> None:
        """Write ``eacps.json``."""
        text = json.dumps(asdict(self), indent=2) + "\n"
        (checkpoint / SETTINGS_FILE).write_text(text, encoding="utf-8")


def template_prefix_tokens(tokenizer: Qwen2Tokenizer, template: str) -> int:
    """Count the tokens of ``template`` before ``{}``: how many hidden states the pipeline drops."""
    return len(tokenizer(template.split("{}")[0])["input_ids"])


def assemble_pipeline(
    *,
    transformer: QwenImageTransformer2DModel,
    vae: AutoencoderKLQwenImage,
    text_encoder: Qwen2_5_VLForConditionalGeneration,
    scheduler: FlowMatchEulerDiscreteScheduler,
    processor: EditProcessor,
    settings: CheckpointSettings,
) -> QwenImageEditPlusPipeline:
    """Put the parts together. Sets the pipeline's area constants, which hold for the whole process."""
    pipeline = QwenImageEditPlusPipeline(
        scheduler=scheduler,
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=processor.tokenizer,
        processor=processor,
        transformer=transformer.eval(),
    )
    pipeline.prompt_template_encode_start_idx = template_prefix_tokens(
        processor.tokenizer, pipeline.prompt_template_encode
    )
    pipeline.set_progress_bar_config(disable=True)
    edit_plus.CONDITION_IMAGE_SIZE = settings.condition_image_area
    edit_plus.VAE_IMAGE_SIZE = settings.vae_image_area
    return pipeline


def load_pipeline(checkpoint: Path, dtype: torch.dtype = torch.float32) -> QwenImageEditPlusPipeline:
    """Load every part of ``checkpoint`` from disk and put them together.

    Callers pass ``height`` and ``width`` when the checkpoint is not made for about 1024x1024 pixels: that default
    is written into the pipeline's ``__call__``.
    """
    checkpoint = Path(checkpoint)
    return assemble_pipeline(
        transformer=QwenImageTransformer2DModel.from_pretrained(checkpoint, subfolder="transformer", torch_dtype=dtype),
        vae=AutoencoderKLQwenImage.from_pretrained(checkpoint, subfolder="vae", torch_dtype=dtype),
        text_encoder=Qwen2_5_VLForConditionalGeneration.from_pretrained(
            checkpoint, subfolder="text_encoder", dtype=dtype
        ),
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(checkpoint, subfolder="scheduler"),
        processor=EditProcessor.from_pretrained(checkpoint / "processor"),
        settings=CheckpointSettings.read(checkpoint),
    )


@torch.no_grad()
def encode_prompt(
    pipeline: QwenImageEditPlusPipeline, pictures: Sequence[Image.Image], prompt: str
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
    resized = []
    for picture in pictures:
        ratio = picture.width / picture.height
        width, height = edit_plus.calculate_dimensions(edit_plus.CONDITION_IMAGE_SIZE, ratio)
        resized.append(pipeline.image_processor.resize(picture, height, width))
    text = edit_text(pipeline.prompt_template_encode, prompt, len(resized))
    inputs = pipeline.processor(text=[text], images=resized).to(pipeline.text_encoder.device)
    outputs = pipeline.text_encoder.model(**inputs)
    embeds = outputs.last_hidden_state[:, pipeline.prompt_template_encode_start_idx :]
    return embeds, torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
