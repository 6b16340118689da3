"""Triton's adapter of the judge; the code is in `eacps.models`."""

import asyncio
from typing import Any

import torch

from eacps.models import bls
from eacps.models.arguments import build_of
from eacps.models.backbones import networks_of, part_of, read_config
from eacps.models.bls_networks import network
from eacps.models.questions import parse_questions


class TritonPythonModel:
    """Questions about pictures, answered by a network of the backbone."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the exporter's assets."""
        torch.set_num_threads(1)  # the networks need the cores
        assets = bls.assets_folder(args)
        config = read_config(assets)
        networks = {name: network(spec) for name, spec in networks_of(config.backbone).items()}
        self._judge = part_of(config.backbone, "judge").Judge(config, networks, assets)
        self._build = build_of(args)

    async def execute(self, requests: list[Any]) -> list[Any]:
        """Answer all requests, in their order."""
        return list(await asyncio.gather(*(self._answer(request) for request in requests)))

    async def _answer(self, request: Any) -> Any:
        try:
            bls.check_build(request, self._build)
            arrays = bls.input_arrays(request)
            p_yes = await self._judge.p_yes(arrays["pictures"], parse_questions(arrays["questions"]))
        except Exception as error:  # becomes this request's error response
            return bls.failure("vlm_judge", error)
        return bls.response({"p_yes": p_yes.numpy()})
