"""Triton's adapter of the sampler; the code is in `eacps.models`."""

import asyncio
from typing import Any

import torch
import triton_python_backend_utils as pb_utils

from eacps import tensors
from eacps.models import bls
from eacps.models.arguments import parameters
from eacps.models.conditioning import ContentCache
from eacps.models.editing import Editor
from eacps.models.facts import TOKENIZER_FILE, CheckpointFacts
from eacps.models.gate import check_repository
from eacps.models.networks import Networks
from eacps.models.request import parse_edit
from eacps.models.tokens import TextReader

DEFAULT_CACHE_MB = 256  # the parameter "conditioning_cache_mb" says otherwise


class TritonPythonModel:
    """Decoupled: many requests run at once, so that Triton can merge their denoising steps."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the exporter's assets, where the repository is the one that passed the parity gate."""
        torch.set_num_threads(1)  # the networks need the cores
        check_repository(args)
        assets = bls.assets_folder(args)
        cache_mb = int(parameters(args).get("conditioning_cache_mb", DEFAULT_CACHE_MB))
        self._facts = CheckpointFacts.read(assets)
        self._editor = Editor(
            self._facts,
            TextReader(assets / TOKENIZER_FILE),
            Networks(
                denoise=bls.network(tensors.DENOISER),
                encode_text=bls.network(tensors.TEXT_ENCODER),
                encode_vae=bls.network(tensors.VAE_ENCODER),
                decode_vae=bls.network(tensors.VAE_DECODER),
            ),
            ContentCache(cache_mb * 1_000_000),
        )

    async def execute(self, requests: list[Any]) -> None:
        """Answer each request with one response."""
        await asyncio.gather(*(self._respond(request) for request in requests))

    async def _respond(self, request: Any) -> None:
        sender = request.get_response_sender()
        sender.send(await self._answer(request, sender), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    async def _answer(self, request: Any, sender: Any) -> Any:
        try:
            parsed = parse_edit(bls.input_arrays(request), self._facts)
            edited = await self._editor.edit(parsed, sender.is_cancelled)
        except Exception as error:  # becomes this request's error response
            return bls.failure("qwen_edit", error)
        return bls.response({"pictures": edited.pictures, "latents": edited.latents})
