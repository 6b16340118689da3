"""Triton's adapter of the judge; the code is in `eacps.models`."""

import asyncio
from typing import Any

import torch

from eacps import tensors
from eacps.models import bls
from eacps.models.facts import TOKENIZER_FILE, CheckpointFacts
from eacps.models.judge import Judge, parse_questions, read_answer_direction
from eacps.models.tokens import TextReader


class TritonPythonModel:
    """Questions about pictures, answered by the text encoder."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the exporter's assets."""
        torch.set_num_threads(1)  # the networks need the cores
        assets = bls.assets_folder(args)
        self._judge = Judge(
            CheckpointFacts.read(assets),
            TextReader(assets / TOKENIZER_FILE),
            bls.network(tensors.TEXT_ENCODER),
            read_answer_direction(assets),
        )

    async def execute(self, requests: list[Any]) -> list[Any]:
        """Answer all requests, in their order."""
        return list(await asyncio.gather(*(self._answer(request) for request in requests)))

    async def _answer(self, request: Any) -> Any:
        try:
            arrays = bls.input_arrays(request)
            p_yes = await self._judge.p_yes(arrays["pictures"], parse_questions(arrays["questions"]))
        except Exception as error:  # becomes this request's error response
            return bls.failure("vlm_judge", error)
        return bls.response({"p_yes": p_yes})
