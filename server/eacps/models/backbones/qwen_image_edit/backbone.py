"""Qwen-Image-Edit's conditioning, velocity and pictures, as QwenImageEditPlusPipeline makes them."""

import asyncio

import numpy as np
import torch
from numpy.typing import NDArray

from eacps.models.backbones.backbone import BaseBackbone
from eacps.models.backbones.qwen_image_edit.config import Config
from eacps.models.backbones.qwen_image_edit.contract import DENOISER, TEXT_ENCODER
from eacps.models.backbones.qwen_image_edit.preprocessing import condition_patches, fitted_size, vae_picture
from eacps.models.backbones.qwen_image_edit.prompt import edit_prompt
from eacps.models.backbones.qwen_image_edit.rope import Grid
from eacps.models.backbones.qwen_image_edit.tokens import TextReader, collate
from eacps.models.backbones.qwen_image_edit.velocity import Scene, fixed_inputs, padded_length, rescaled, text_bucket
from eacps.models.chat import reserved_mark_in
from eacps.models.checkpoint_config import TOKENIZER_FILE
from eacps.models.conditioning import digest
from eacps.models.denoising import ConditionedDenoiser, GuidedDenoiser
from eacps.models.failures import InvalidInput
from eacps.models.request import EditRequest
from eacps.models.sampler import Velocity

MAX_PROMPT_TOKENS = 1024  # the pipeline's tokenizer_max_length, which it does not hold pictures to


class Backbone(BaseBackbone[Config]):
    """See `eacps.models.backbones.backbone.BaseBackbone`."""

    def open(self) -> None:
        """Read the tokenizer."""
        self._reader = TextReader(self.assets / TOKENIZER_FILE)

    def text_violation(self, text: str) -> str | None:
        """Return why a prompt cannot be taken: it holds a mark of the chat form."""
        mark = reserved_mark_in(text)
        return f"holds the reserved mark {mark}" if mark else None

    async def velocity(self, request: EditRequest) -> Velocity:
        """Condition on pictures and prompts.

        Raises:
            InvalidInput: A prompt is too long.
        """
        scene, embeddings = await asyncio.gather(self._scene(request), self._all_embeddings(request))
        # Both prompts at one length: Triton can then evaluate the two branches of guidance as one batch.
        text_tokens = padded_length(embeddings, len(request.pictures), self.config.shapes)
        branches = [
            ConditionedDenoiser(
                self.networks[DENOISER.name],
                fixed_inputs(self.config, scene, embedding, text_tokens),
                count=len(request.recipes),
                max_batch=self.config.shapes.max_batch,
            )
            for embedding in embeddings
        ]
        if not request.guided:
            return branches[0]
        return GuidedDenoiser(branches[0], branches[1], request.true_cfg_scale, rescaled)

    async def _all_embeddings(self, request: EditRequest) -> list[torch.Tensor]:
        """Of the prompt and, where guidance runs, of the negative prompt."""
        prompts = {"prompt": request.prompt}
        if request.negative_prompt is not None and request.guided:
            prompts["negative_prompt"] = request.negative_prompt
        return await asyncio.gather(*(self._embeddings(request.pictures, *named) for named in prompts.items()))

    async def _scene(self, request: EditRequest) -> Scene:
        size = fitted_size(self.config.vae_image_area, *request.size)
        latents = await asyncio.gather(
            *(self.latents(picture, lambda one: vae_picture(one, size), str(size)) for picture in request.pictures)
        )
        grids = [self._grid(request.size), *[self._grid(size)] * len(latents)]
        return Scene(picture_latents=torch.cat(latents), grids=grids)

    async def _embeddings(self, pictures: NDArray[np.uint8], name: str, prompt: str) -> torch.Tensor:
        """[L, text channels]: the text encoder's hidden states after the template's opening; ``name`` is for errors."""

        async def compute() -> torch.Tensor:
            area, vision = self.config.condition_image_area, self.config.vision
            patches = [condition_patches(picture, area, vision) for picture in pictures]
            item = self._reader.read(edit_prompt(self.config.edit_template, prompt, len(patches)), patches)
            tokens = item.length - self.config.template_tokens
            if (words := tokens - int((item.image_index > 0).sum())) > MAX_PROMPT_TOKENS:
                raise InvalidInput([f"{name}: takes {words} tokens, at most {MAX_PROMPT_TOKENS} fit"])
            text_bucket(tokens, len(patches), self.config.shapes)  # refused before the text encoder sees it
            hidden = await self.networks[TEXT_ENCODER.name](collate([item]))
            return hidden[0, self.config.template_tokens :].contiguous()

        return await self.cache.get(digest("text", self.fingerprint, prompt, pictures), compute)

    def _grid(self, size: tuple[int, int]) -> Grid:
        return size[0] // self.config.size_multiple, size[1] // self.config.size_multiple
