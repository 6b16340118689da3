"""FLUX.2 klein's conditioning, velocity, masks and schedule, as Flux2KleinPipeline and its inpainting have them."""

import asyncio
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from eacps.models.backbones.backbone import BaseBackbone
from eacps.models.backbones.flux2_klein.config import Config
from eacps.models.backbones.flux2_klein.contract import DENOISER, TEXT_ENCODER
from eacps.models.backbones.flux2_klein.pictures import seen_picture, seen_size
from eacps.models.backbones.flux2_klein.rope import image_rope, text_rope
from eacps.models.backbones.flux2_klein.text import TextReader
from eacps.models.chat import reserved_mark_in
from eacps.models.checkpoint_config import TOKENIZER_FILE
from eacps.models.conditioning import digest
from eacps.models.denoising import ConditionedDenoiser, GuidedDenoiser
from eacps.models.latents import pack
from eacps.models.mask import binary
from eacps.models.request import EditRequest
from eacps.models.sampler import Velocity


class Backbone(BaseBackbone[Config]):
    """See `eacps.models.backbones.backbone.BaseBackbone`."""

    keeps_to_the_end: ClassVar[bool] = True

    def open(self) -> None:
        """Read the tokenizer."""
        self._reader = TextReader(self.assets / TOKENIZER_FILE, self.config)

    def text_violation(self, text: str) -> str | None:
        """Return why a prompt cannot be taken: it holds a mark of the chat form."""
        mark = reserved_mark_in(text)
        return f"holds the reserved mark {mark}" if mark else None

    def mu(self, steps: int, tokens: int) -> float:
        """Return the shift that was measured for FLUX.2; see `empirical_mu`."""
        return empirical_mu(steps, tokens)

    def free_latents(self, mask: NDArray[np.uint8]) -> torch.Tensor:
        """Return how far latents may change: the mask made small, in between at its edges."""
        shape = self.config.noise_shape(*mask.shape)
        cells = interpolate(binary(mask), size=(shape.height, shape.width), mode="bilinear")
        return pack(cells.expand(1, shape.depth, -1, -1), shape.patch)

    async def velocity(self, request: EditRequest) -> Velocity:
        """Condition on pictures and prompts.

        Raises:
            InvalidInput: A prompt is too long.
        """
        pictures, embeddings = await asyncio.gather(self._pictures(request), self._all_embeddings(request))
        fixed = {"picture_latents": pictures, **self._ropes(request)}
        branches = [
            ConditionedDenoiser(
                self.networks[DENOISER.name],
                {**fixed, "encoder_hidden_states": embedding},
                count=len(request.recipes),
                max_batch=self.config.shapes.max_batch,
            )
            for embedding in embeddings
        ]
        return GuidedDenoiser(branches[0], branches[1], request.true_cfg_scale) if request.guided else branches[0]

    async def _pictures(self, request: EditRequest) -> torch.Tensor:
        """FP32 [tokens, channels]: the latents of all conditioning pictures."""
        multiple = self.config.size_multiple
        return torch.cat(
            await asyncio.gather(
                *(self.latents(one, lambda shown: seen_picture(shown, multiple), "seen") for one in request.pictures)
            )
        )

    def _ropes(self, request: EditRequest) -> dict[str, torch.Tensor]:
        multiple, axes, theta = self.config.size_multiple, self.config.rope_axes, self.config.rope_theta
        height, width = request.size
        rows, columns = seen_size(height, width, multiple)
        pictures = [(rows // multiple, columns // multiple)] * len(request.pictures)
        return {
            "img_rope": image_rope((height // multiple, width // multiple), pictures, axes, theta),
            "txt_rope": text_rope(self.config.text_tokens, axes, theta),
        }

    async def _all_embeddings(self, request: EditRequest) -> list[torch.Tensor]:
        """Of the prompt and, where guidance runs, of the negative prompt; a blank one is the pipeline's empty one."""
        prompts = {"prompt": request.prompt}
        if request.negative_prompt is not None and request.guided:
            prompts["negative_prompt"] = request.negative_prompt if request.negative_prompt.strip() else ""
        return await asyncio.gather(*(self._embeddings(*named) for named in prompts.items()))

    async def _embeddings(self, name: str, prompt: str) -> torch.Tensor:
        """[text tokens, text channels]; ``name`` is for violations."""

        async def compute() -> torch.Tensor:
            text = self._reader.read(prompt, name)
            inputs = {"input_ids": text.input_ids, "attention_mask": text.attention_mask}
            return (await self.networks[TEXT_ENCODER.name](inputs))[0].contiguous()

        return await self.cache.get(digest("text", self.fingerprint, prompt), compute)


def empirical_mu(steps: int, tokens: int) -> float:
    """Return the shift of a schedule of ``steps`` over ``tokens``: diffusers' ``compute_empirical_mu``.

    It is linear in the tokens, measured at 10 and at 200 steps, and linear in the steps in between.
    """
    at_200 = 0.00016927 * tokens + 0.45666666
    if tokens > 4300:
        return at_200
    at_10 = 8.73809524e-05 * tokens + 1.89833333
    slope = (at_200 - at_10) / 190.0
    return slope * steps + (at_200 - 200.0 * slope)
