"""`vlm_judge`: P(yes) of questions about pictures, from the text encoder and two rows of its language head."""

import asyncio
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from eacps.models.facts import JUDGE_HEAD_FILE, CheckpointFacts
from eacps.models.failures import InvalidInput
from eacps.models.networks import Network, chunks
from eacps.models.preprocessing import Patches, condition_patches
from eacps.models.prompt import judge_prompt, reserved_mark_in
from eacps.models.tokens import TextItem, TextReader, collate

MAX_QUESTION_TOKENS = 1024


def read_answer_direction(assets: Path) -> torch.Tensor:
    """Read the language head's row for Yes minus its row for No: FP32 [text channels]."""
    with np.load(assets / JUDGE_HEAD_FILE) as head:
        return torch.from_numpy(head["yes"].astype(np.float32) - head["no"].astype(np.float32))


def parse_questions(array: NDArray[np.uint8]) -> list[str]:
    """Read the tensor ``questions``: UTF-8, one a line.

    Raises:
        InvalidInput: A question is not UTF-8.
    """
    try:
        return array.tobytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as exc:
        raise InvalidInput(["questions: are not UTF-8"]) from exc


class Judge:
    """Answers yes/no questions with the text encoder of one checkpoint.

    Args:
        facts: Of the checkpoint.
        reader: Its tokenizer.
        encode_text: The network ``tensors.TEXT_ENCODER``.
        answer_direction: FP32 [text channels], see `read_answer_direction`.
    """

    def __init__(
        self, facts: CheckpointFacts, reader: TextReader, encode_text: Network, answer_direction: torch.Tensor
    ) -> None:
        self._facts, self._reader, self._encode_text = facts, reader, encode_text
        self._direction = answer_direction

    async def p_yes(self, pictures: NDArray[np.uint8], questions: list[str]) -> torch.Tensor:
        """Answer every question about every item.

        Args:
            pictures: RGB [items, pictures, H, W, 3]; the pictures of an item are shown together, in order.
            questions: At least one.

        Returns:
            FP32 [items, questions] in [0, 1]: softmax over the logits of Yes and No.

        Raises:
            InvalidInput: Nothing to judge, an unusable question, or pictures of an unsupported size.
            NetworkFailed: The text encoder did.
        """
        self._check(pictures, questions)
        items = self._items(pictures, questions)
        answers = await asyncio.gather(
            *(self._answer(items[rows]) for rows in chunks(len(items), self._facts.shapes.max_batch))
        )
        return torch.cat(list(answers)).reshape(len(pictures), len(questions))

    def _items(self, pictures: NDArray[np.uint8], questions: list[str]) -> list[TextItem]:
        items = []
        for shown in pictures:
            patches = [self._patches(picture) for picture in shown]
            items += [self._reader.read(judge_prompt(question, len(patches)), patches) for question in questions]
        if max(item.length - int((item.image_index > 0).sum()) for item in items) > MAX_QUESTION_TOKENS:
            raise InvalidInput([f"questions: one takes more than {MAX_QUESTION_TOKENS} tokens"])
        return items

    def _patches(self, picture: NDArray[np.uint8]) -> Patches:
        return condition_patches(picture, self._facts.condition_image_area, self._facts.vision)

    async def _answer(self, items: list[TextItem]) -> torch.Tensor:
        hidden = await self._encode_text(collate(items))
        last = torch.tensor([item.length - 1 for item in items], device=hidden.device)
        states = hidden[torch.arange(len(items), device=hidden.device), last]
        return torch.sigmoid(states.float() @ self._direction.to(hidden.device)).cpu()

    def _check(self, pictures: NDArray[np.uint8], questions: list[str]) -> None:
        faults = []
        if 0 in pictures.shape:
            faults.append(f"pictures: have shape {pictures.shape}, nothing to judge")
        if not questions:
            faults.append("questions: are none")
        for number, question in enumerate(questions):
            if not question.strip():
                faults.append(f"questions: number {number} is empty")
            if mark := reserved_mark_in(question):
                faults.append(f"questions: number {number} holds the reserved mark {mark}")
        if faults:
            raise InvalidInput(faults)
