"""`qwen_edit`: conditioning, noise, trajectory and decoding of one request, as QwenImageEditPlusPipeline does them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from eacps.models.conditioning import ContentCache, digest
from eacps.models.facts import CheckpointFacts
from eacps.models.failures import InvalidInput
from eacps.models.latents import pack, unpack
from eacps.models.mask import composite, feathered, free_latents
from eacps.models.networks import Networks, chunks
from eacps.models.noise import recipe_noise
from eacps.models.preprocessing import condition_patches, fitted_size, vae_picture
from eacps.models.prompt import edit_prompt
from eacps.models.request import EditRequest
from eacps.models.rope import Grid
from eacps.models.sampler import KeptLatents, Sample, Trajectory, Velocity, sample
from eacps.models.schedule import make_schedule
from eacps.models.tokens import TextReader, collate
from eacps.models.velocity import GuidedDenoiser, PromptedDenoiser, Scene, padded_length, text_bucket

MAX_PROMPT_TOKENS = 1024  # the pipeline's tokenizer_max_length, which it does not hold pictures to


@dataclass(frozen=True)
class Edited:
    """Result of a request.

    Args:
        pictures: UINT8 [N, H, W, 3].
        latents: FP32 [N, tokens, channels] at the stop step.
    """

    pictures: torch.Tensor
    latents: torch.Tensor


class Editor:
    """Edits pictures with the networks of one checkpoint.

    Args:
        facts: Of the checkpoint.
        reader: Its tokenizer.
        networks: Its networks.
        cache: For conditioning; may be shared by editors of any checkpoints.
    """

    def __init__(self, facts: CheckpointFacts, reader: TextReader, networks: Networks, cache: ContentCache) -> None:
        self._facts, self._reader, self._networks, self._cache = facts, reader, networks, cache
        self._fingerprint = facts.fingerprint()

    async def edit(self, request: EditRequest, cancelled: Callable[[], bool] = lambda: False) -> Edited:
        """Run one request.

        Raises:
            InvalidInput: The prompt is too long, or the pictures have a size the text encoder was not exported for.
            SamplingCancelled: ``cancelled`` answered yes before a step.
            NetworkFailed: A network did.
        """
        velocity, kept = await asyncio.gather(self._velocity(request), self._kept(request))
        height, width = self._cells(request.size)
        noise = recipe_noise(request.recipes, self._facts.latent_depth, height, width)
        schedule = make_schedule(self._facts.schedule, request.steps, noise.shape[1])
        result = await sample(
            Trajectory(schedule, request.start, request.stop),
            noise,
            velocity,
            latents=request.latents,
            kept=kept,
            cancelled=cancelled,
        )
        return Edited(pictures=await self._pictures(result, request), latents=result.latents)

    async def _velocity(self, request: EditRequest) -> Velocity:
        scene, embeddings = await asyncio.gather(self._scene(request), self._all_embeddings(request))
        # Both prompts at one length: Triton can then evaluate the two branches of guidance as one batch.
        text_tokens = padded_length(embeddings, len(request.pictures), self._facts.shapes)
        sizes = {"count": len(request.recipes), "text_tokens": text_tokens}
        branches = [
            PromptedDenoiser(self._networks.denoise, self._facts, scene, embedding, **sizes) for embedding in embeddings
        ]
        return GuidedDenoiser(branches[0], branches[1], request.true_cfg_scale) if request.guided else branches[0]

    async def _all_embeddings(self, request: EditRequest) -> list[torch.Tensor]:
        """Of the prompt and, where guidance runs, of the negative prompt."""
        prompts = {"prompt": request.prompt}
        if request.negative_prompt is not None and request.guided:
            prompts["negative_prompt"] = request.negative_prompt
        return await asyncio.gather(*(self._embeddings(request.pictures, *named) for named in prompts.items()))

    async def _scene(self, request: EditRequest) -> Scene:
        size = fitted_size(self._facts.vae_image_area, *request.size)
        latents = await asyncio.gather(*(self._latents(picture, size) for picture in request.pictures))
        grids = [self._grid(request.size), *[self._grid(size)] * len(latents)]
        return Scene(picture_latents=torch.cat(latents), grids=grids)

    async def _embeddings(self, pictures: NDArray[np.uint8], name: str, prompt: str) -> torch.Tensor:
        """[L, text channels]: the text encoder's hidden states after the template's opening; ``name`` is for faults."""

        async def compute() -> torch.Tensor:
            area, vision = self._facts.condition_image_area, self._facts.vision
            patches = [condition_patches(picture, area, vision) for picture in pictures]
            item = self._reader.read(edit_prompt(self._facts.edit_template, prompt, len(patches)), patches)
            tokens = item.length - self._facts.template_tokens
            if (words := tokens - int((item.image_index > 0).sum())) > MAX_PROMPT_TOKENS:
                raise InvalidInput([f"{name}: takes {words} tokens, at most {MAX_PROMPT_TOKENS} fit"])
            text_bucket(tokens, len(patches), self._facts.shapes)  # refused before the text encoder sees it
            hidden = await self._networks.encode_text(collate([item]))
            return hidden[0, self._facts.template_tokens :].contiguous()

        return await self._cache.get(digest("text", self._fingerprint, prompt, pictures), compute)

    async def _latents(self, picture: NDArray[np.uint8], size: Grid) -> torch.Tensor:
        """[tokens, channels]: the packed latents of a picture fitted to ``size`` (height, width)."""

        async def compute() -> torch.Tensor:
            return pack(await self._networks.encode_vae({"picture": vae_picture(picture, size)[None]}))[0]

        return await self._cache.get(digest("vae", self._fingerprint, str(size), picture), compute)

    async def _kept(self, request: EditRequest) -> KeptLatents | None:
        if request.edit_mask is None or request.scene is None:
            return None
        return KeptLatents(
            scene=(await self._latents(request.scene, request.size))[None],
            free=free_latents(request.edit_mask, self._facts.vae_scale, self._facts.latent_depth),
        )

    async def _pictures(self, result: Sample, request: EditRequest) -> torch.Tensor:
        latents = unpack(result.x0, *self._cells(request.size))
        decoded = await asyncio.gather(
            *(
                self._networks.decode_vae({"latents": latents[rows]})
                for rows in chunks(len(latents), self._facts.shapes.max_batch)
            )
        )
        pictures = torch.cat([to_uint8(part) for part in decoded])
        if request.edit_mask is None or request.scene is None:
            return pictures
        return composite(request.scene, pictures, feathered(request.edit_mask))

    def _cells(self, size: tuple[int, int]) -> Grid:
        return size[0] // self._facts.vae_scale, size[1] // self._facts.vae_scale

    def _grid(self, size: tuple[int, int]) -> Grid:
        return size[0] // self._facts.size_multiple, size[1] // self._facts.size_multiple


def to_uint8(decoded: torch.Tensor) -> torch.Tensor:
    """Pictures [N, 3, H, W], nominally in [-1, 1], to uint8 [N, H, W, 3], rounded as VaeImageProcessor does."""
    unit = (decoded * 0.5 + 0.5).clamp(0, 1)
    return (unit * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()
