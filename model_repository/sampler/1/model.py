"""Triton's adapter of the sampler; the code is in `eacps.models`."""

import asyncio
from typing import Any

import torch
import triton_python_backend_utils as pb_utils

from eacps.models import bls
from eacps.models.arguments import build_of, parameters
from eacps.models.backbones import networks_of, part_of, read_config
from eacps.models.bls_networks import network
from eacps.models.conditioning import ContentCache
from eacps.models.editing import Editor
from eacps.models.repository_check import check_repository
from eacps.models.request import parse_edit

DEFAULT_CACHE_MB = 256  # the parameter "conditioning_cache_mb" says otherwise


class TritonPythonModel:
    """Decoupled: many requests run at once, so that Triton can merge their denoising steps."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the exporter's assets, where the repository is the one that passed the parity gate."""
        torch.set_num_threads(1)  # the networks need the cores
        check_repository(args)
        assets = bls.assets_folder(args)
        cache_mb = int(parameters(args).get("conditioning_cache_mb", DEFAULT_CACHE_MB))
        config = read_config(assets)
        networks = {name: network(spec) for name, spec in networks_of(config.backbone).items()}
        cache = ContentCache(cache_mb * 1_000_000)
        self._backbone = part_of(config.backbone, "backbone").Backbone(config, networks, assets, cache)
        self._editor = Editor(self._backbone)
        self._build = build_of(args)

    async def execute(self, requests: list[Any]) -> None:
        """Answer each request with one response."""
        await asyncio.gather(*(self._respond(request) for request in requests))

    async def _respond(self, request: Any) -> None:
        sender = request.get_response_sender()
        sender.send(await self._answer(request, sender), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    async def _answer(self, request: Any, sender: Any) -> Any:
        try:
            bls.check_build(request, self._build)
            parsed = parse_edit(bls.input_arrays(request), self._backbone)
            edited = await self._editor.edit(parsed, sender.is_cancelled)
        except Exception as error:  # becomes this request's error response
            return bls.failure("sampler", error)
        return bls.response({"pictures": edited.pictures.numpy(), "latents": edited.latents.numpy()})
