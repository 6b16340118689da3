"""`vlm_judge`: P(yes) of questions about pictures, from a Qwen2.5-VL and two rows of its language head.

The checkpoint's own judge is asked where it brings one, its text encoder otherwise.
"""

import asyncio
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from eacps.models.backbones.qwen_image_edit.config import JUDGE_HEAD_FILE, Config
from eacps.models.backbones.qwen_image_edit.contract import JUDGE, TEXT_ENCODER
from eacps.models.backbones.qwen_image_edit.preprocessing import Patches, condition_patches
from eacps.models.backbones.qwen_image_edit.prompt import judge_prompt
from eacps.models.backbones.qwen_image_edit.tokens import TextItem, TextReader, collate
from eacps.models.chat import reserved_mark_in
from eacps.models.checkpoint_config import TOKENIZER_FILE
from eacps.models.failures import InvalidInput
from eacps.models.networks import Networks, chunks

MAX_QUESTION_TOKENS = 1024


def read_answer_direction(assets: Path) -> torch.Tensor:
    """Read the language head's row for Yes minus its row for No: FP32 [text channels]."""
    with np.load(assets / JUDGE_HEAD_FILE) as head:
        return torch.from_numpy(head["yes"].astype(np.float32) - head["no"].astype(np.float32))


class Judge:
    """Answers yes/no questions with a network of one checkpoint.

    Args:
        config: Of the checkpoint.
        networks: Its networks, of which it asks the judge or the text encoder.
        assets: Folder of the exporter's files.
    """

    def __init__(self, config: Config, networks: Networks, assets: Path) -> None:
        self._config, self._reader = config, TextReader(assets / TOKENIZER_FILE)
        self._network = networks[JUDGE.name if config.own_judge else TEXT_ENCODER.name]
        self._direction = read_answer_direction(assets)

    async def p_yes(self, pictures: NDArray[np.uint8], questions: list[str]) -> torch.Tensor:
        """Answer every question about every item.

        Args:
            pictures: RGB [items, pictures, H, W, 3]; the pictures of an item are shown together, in order.
            questions: At least one.

        Returns:
            FP32 [items, questions] in [0, 1]: softmax over the logits of Yes and No.

        Raises:
            InvalidInput: Nothing to judge, an unusable question, or pictures of an unsupported size.
            NetworkFailed: The network did.
        """
        self._check(pictures, questions)
        items = self._items(pictures, questions)
        answers = await asyncio.gather(
            *(self._answer(items[rows]) for rows in chunks(len(items), self._config.shapes.max_batch))
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
        return condition_patches(picture, self._config.condition_image_area, self._config.vision)

    async def _answer(self, items: list[TextItem]) -> torch.Tensor:
        states = await self._last_states(items)
        return torch.sigmoid(states.float() @ self._direction.to(states.device)).cpu()

    async def _last_states(self, items: list[TextItem]) -> torch.Tensor:
        """Return the state of each item's last token: [items, channels]."""
        answer = await self._network(collate(items))
        if self._config.own_judge:
            return answer
        last = torch.tensor([item.length - 1 for item in items], device=answer.device)
        return answer[torch.arange(len(items), device=answer.device), last]

    def _check(self, pictures: NDArray[np.uint8], questions: list[str]) -> None:
        violations = []
        if 0 in pictures.shape:
            violations.append(f"pictures: have shape {pictures.shape}, nothing to judge")
        if not questions:
            violations.append("questions: are none")
        for number, question in enumerate(questions):
            if not question.strip():
                violations.append(f"questions: number {number} is empty")
            if mark := reserved_mark_in(question):
                violations.append(f"questions: number {number} holds the reserved mark {mark}")
        if violations:
            raise InvalidInput(violations)
