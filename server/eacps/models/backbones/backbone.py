"""The protocol of a backbone: what one family of diffusion models does in its own way.

The sampler's loop, masks, step ranges, cancellation, the cache of contents, batching, recipes and replay know none. A
backbone conditions on pictures and text, evaluates velocities of a batch, and decodes latents; its configuration says
how noise is shaped and packed, which schedule it has and whether a negative prompt guides it.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from eacps.models.checkpoint_config import CheckpointConfig
from eacps.models.conditioning import ContentCache, digest
from eacps.models.latents import pack, unpack
from eacps.models.mask import nearest_cells
from eacps.models.networks import Networks, chunks
from eacps.models.pixels import signed
from eacps.models.request import EditRequest
from eacps.models.sampler import Velocity
from eacps.models.schedule import Schedule, linear_mu, make_schedule
from eacps.tensors import VAE_DECODER, VAE_ENCODER

C = TypeVar("C", bound=CheckpointConfig)


class BaseBackbone(ABC, Generic[C]):
    """One checkpoint of a backbone, behind its networks.

    What does not depend on the noise belongs into the cache, under the digest of its contents: all seeds, step ranges
    and micro-batches of a search then share it. Pictures' latents and prompts' embeddings are such, and so are the keys
    and values of tokens that never attend to the result, where an architecture has those.

    Args:
        config: Of the checkpoint.
        networks: Its networks.
        assets: Folder of the exporter's files.
        cache: For what is computed of contents; may be shared by backbones of any checkpoints.
    """

    keeps_to_the_end: ClassVar[bool] = False
    """Whether a mask puts the scene's latents back after the last step, too, and so into the decoded picture."""

    def __init__(self, config: C, networks: Networks, assets: Path, cache: ContentCache) -> None:
        self.config, self.networks, self.assets, self.cache = config, networks, assets, cache
        self.fingerprint = config.fingerprint()
        self.open()

    def open(self) -> None:
        """Read what the backbone needs of its assets."""

    def text_violation(self, text: str) -> str | None:  # noqa: ARG002  # most take any text
        """Return why a prompt cannot be taken, to be put after its name; None where it can."""
        return None

    def mu(self, steps: int, tokens: int) -> float:  # noqa: ARG002  # some shift by the number of steps, too
        """Return how far the schedule of ``steps`` is shifted for a result of ``tokens``; see `make_schedule`."""
        return linear_mu(self.config.schedule, tokens)

    def schedule(self, steps: int, tokens: int) -> Schedule:
        """Return the full schedule of ``steps`` steps for a result of ``tokens`` tokens.

        Raises:
            InvalidInput: The checkpoint has no schedule of so few steps.
        """
        return make_schedule(self.config.schedule, steps, self.mu(steps, tokens))

    @abstractmethod
    async def velocity(self, request: EditRequest) -> Velocity:
        """Condition on the request's pictures and texts; return the velocity of a batch of its candidates.

        Raises:
            InvalidInput: A prompt is too long.
            NetworkFailed: A network did.
        """

    async def scene_latents(self, scene: NDArray[np.uint8]) -> torch.Tensor:
        """FP32 [tokens, channels]: what a mask keeps of a scene [H, W, 3] of the result's size."""
        return await self.latents(scene, signed, str(scene.shape[:2]))

    def free_latents(self, mask: NDArray[np.uint8]) -> torch.Tensor:
        """FP32 [1, tokens, channels] in [0, 1]: how far packed latents may change under an edit mask [H, W]."""
        shape = self.config.noise_shape(*mask.shape)
        cells = nearest_cells(mask, shape.height, shape.width)
        return pack(cells.expand(1, shape.depth, -1, -1), shape.patch)

    async def decode(self, latents: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Packed latents [N, tokens, channels] to pictures, FP32 [N, 3, height, width], nominally in [-1, 1]."""
        shape = self.config.noise_shape(height, width)
        cells = unpack(latents, shape.height, shape.width, shape.patch)
        decoded = await asyncio.gather(
            *(
                self.networks[VAE_DECODER.name]({"latents": cells[rows]})
                for rows in chunks(len(cells), self.config.shapes.max_batch)
            )
        )
        return torch.cat(decoded)

    async def latents(
        self, picture: NDArray[np.uint8], prepare: Callable[[NDArray[np.uint8]], torch.Tensor], how: str
    ) -> torch.Tensor:
        """FP32 [tokens, channels]: the packed latents of a picture, from the cache or computed.

        Args:
            picture: RGB [H, W, 3].
            prepare: Makes of it what the autoencoder takes, FP32 [3, H', W'] in [-1, 1].
            how: Says in words what ``prepare`` does, so that another preparation is another entry of the cache.
        """

        async def compute() -> torch.Tensor:
            encoded = await self.networks[VAE_ENCODER.name]({"picture": prepare(picture)[None]})
            return pack(encoded, self.config.patch_size)[0]

        return await self.cache.get(digest("vae", self.fingerprint, how, picture), compute)
