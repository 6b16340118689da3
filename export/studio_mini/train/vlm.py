"""Stage ``vlm``: Qwen2.5-VL from scratch, as judge and as text encoder.

As judge it answers yes/no questions about a face. As text encoder it reads a prior and a prompt in the edit template;
its last hidden state must then tell how the edited face looks (two linear probes, thrown away afterwards), and its
prompt tokens predict one another, so that the states the denoiser is conditioned on carry the meaning of the prompt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Qwen2_5_VLForConditionalGeneration

from export.checkpoint import edit_text
from export.processor import EditProcessor
from export.studio_mini.architecture import (
    TEXT_CHANNELS,
    build_processor,
    build_text_encoder,
)
from export.studio_mini.tokenizer import edit_template, judge_text, train_tokenizer
from export.studio_mini.train.lessons import SUFFIX, Lesson, draw_lesson, gallery, outcome, vary
from export.studio_mini.train.optimizer import MuonAdamW
from export.studio_mini.train.pace import Pace, load_state, rate_scale, save_state
from export.studio_mini.train.packed_vlm import (
    PackedTexts,
    Packer,
    Patcher,
    at_last,
    hidden_states,
    picture_tokens,
    use_float32_attention,
)
from export.studio_mini.train.precision import autocast
from export.studio_mini.train.task_cache import TaskSet, cached_tasks, ensure_tasks
from export.studio_mini.world.prompts import Accessory, Edit, Expression, Look, phrase, sample_edit

TASKS = 7000
STEPS = 4000
BATCH = 24
EDIT_SLOTS = 3
MUON_RATE, ADAM_RATE = 3e-3, 1e-3
SAVE_EVERY = 250


class Student(nn.Module):
    """The model with its probes and packers."""

    def __init__(self, processor: EditProcessor, seed: int) -> None:
        super().__init__()
        self.model: Qwen2_5_VLForConditionalGeneration = build_text_encoder(processor.tokenizer, seed)
        use_float32_attention(self.model)
        self.look_probe = nn.Linear(TEXT_CHANNELS, len(Expression) + len(Accessory) + 1)
        self.outcome_probe = nn.Linear(TEXT_CHANNELS, len(Expression) + len(Accessory))
        self.patcher = Patcher(processor)
        self.judge_packer = Packer(self.model, processor, judge_text("").removesuffix(SUFFIX))
        self.edit_packers = [
            Packer(self.model, processor, edit_text(edit_template(), "", count).removesuffix(SUFFIX))
            for count in (1, 2)
        ]
        tokens = processor.tokenizer.convert_tokens_to_ids
        self.yes, self.no = tokens("Yes"), tokens("No")

    def judge_loss(self, lesson: Lesson) -> Tensor:
        """Cross-entropy of the answers over the whole vocabulary, plus the picture probe's."""
        tokens = picture_tokens(self.model, self.patcher(lesson.pictures))
        texts = self.judge_packer(lesson.questions)
        logits = self.model.lm_head(at_last(hidden_states(self.model, texts, tokens), texts)).float()
        right = torch.where(lesson.answers, self.yes, self.no)
        answers = F.cross_entropy(logits.flatten(0, 1), right.flatten())
        return answers + 0.3 * self._look_loss(tokens, lesson)

    def _look_loss(self, tokens: Tensor, lesson: Lesson) -> Tensor:
        guess = self.look_probe(tokens.mean(1)).float()
        return (
            F.cross_entropy(guess[:, : len(Expression)], lesson.expressions)
            + F.cross_entropy(guess[:, len(Expression) : -1], lesson.accessories)
            + F.binary_cross_entropy_with_logits(guess[:, -1], lesson.natural.float())
        )

    def edit_loss(self, tasks: TaskSet, rng: np.random.Generator) -> Tensor:
        """Outcome of ``EDIT_SLOTS`` prompts for each prior, and next-token prediction within the prompts."""
        chosen = rng.integers(len(tasks), size=BATCH)
        looks = [tasks.scene_looks[k] for k in chosen]
        shown = [tasks.prior] if rng.random() < 0.7 else [tasks.prior, tasks.character]
        tokens = torch.cat(
            [picture_tokens(self.model, self.patcher(vary(torch.from_numpy(p[chosen]), rng))) for p in shown], dim=1
        )
        edits = [[sample_edit(rng) for _ in looks] for _ in range(EDIT_SLOTS)]
        texts = self.edit_packers[len(shown) - 1]([[phrase(edit, rng) + SUFFIX for edit in slot] for slot in edits])
        hidden = hidden_states(self.model, texts, tokens)
        return self._outcome_loss(at_last(hidden, texts), edits, looks) + 0.2 * self._next_token_loss(hidden, texts)

    def _outcome_loss(self, states: Tensor, edits: list[list[Edit]], looks: list[Look]) -> Tensor:
        guess = self.outcome_probe(states).float()
        loss = torch.zeros(())
        for slot, slot_edits in enumerate(edits):
            expressions, accessories = outcome(slot_edits, looks)
            loss = loss + F.cross_entropy(guess[:, slot, : len(Expression)], expressions)
            loss = loss + F.cross_entropy(guess[:, slot, len(Expression) :], accessories)
        return loss / len(edits)

    def _next_token_loss(self, hidden: Tensor, texts: PackedTexts) -> Tensor:
        loss, counted = torch.zeros(()), 0
        for slot, start in enumerate(texts.starts):
            stop = int(texts.last[:, slot].max())
            logits = self.model.lm_head(hidden[:, start:stop]).float()
            real = torch.arange(start, stop)[None] < texts.last[:, slot, None]
            loss = loss + F.cross_entropy(logits[real], texts.ids[:, start + 1 : stop + 1][real], reduction="sum")
            counted += int(real.sum())
        return loss / counted

    @torch.no_grad()
    def p_yes(self, pictures: np.ndarray, questions: list[list[str]], batch: int = 50) -> Tensor:
        """Judge pictures (count, 128, 128, 3): ``questions[slot][item]`` to P(yes) (count, slots)."""
        scores = []
        for start in range(0, len(pictures), batch):
            span = slice(start, start + batch)
            tokens = picture_tokens(self.model, self.patcher(torch.from_numpy(pictures[span])))
            texts = self.judge_packer([[question + SUFFIX for question in slot[span]] for slot in questions])
            logits = self.model.lm_head(at_last(hidden_states(self.model, texts, tokens), texts))
            scores.append(torch.sigmoid(logits[..., self.yes] - logits[..., self.no]))
        return torch.cat(scores)


def run(build_dir: Path, checkpoint_dir: Path, *, minutes: float | None, seed: int) -> None:
    """Train, or go on training, and write ``text_encoder/`` of the checkpoint; does nothing once finished."""
    ensure_tasks(build_dir, TASKS)
    tasks = cached_tasks(build_dir, limit=TASKS)
    torch.manual_seed(seed)
    student = Student(build_processor(train_tokenizer()), seed).train()
    optimizer = MuonAdamW(student, muon_rate=MUON_RATE, adam_rate=ADAM_RATE, weight_decay=0.05)
    state = load_state(build_dir / "vlm.pt") or {"step": 0, "spent_s": 0.0, "loss": 0.0}
    if state["step"]:
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
    pace = Pace(STEPS, minutes, state["spent_s"])
    _train(student, optimizer, tasks, pace, state, build_dir, seed)
    student.eval().model.save_pretrained(checkpoint_dir / "text_encoder")
    (build_dir / "vlm.done").touch()


def _train(
    student: Student,
    optimizer: MuonAdamW,
    tasks: TaskSet,
    pace: Pace,
    state: dict[str, Any],
    build_dir: Path,
    seed: int,
) -> None:
    pool, step, mean = gallery(tasks), state["step"], state["loss"]
    while (progress := pace.progress(step)) < 1:
        rng = np.random.default_rng([seed, step])
        with autocast():
            loss = student.judge_loss(draw_lesson(pool, BATCH, rng))
            if step % 3 == 0:
                loss = loss + 0.5 * student.edit_loss(tasks, rng)
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step(rate_scale(progress, step))
        step += 1
        mean += (float(loss.detach()) - mean) / min(step, 100)
        if step % 50 == 0:
            print(f"vlm {pace.describe(step)} loss {mean:.3f}", flush=True)
        if step % SAVE_EVERY == 0 or pace.progress(step) >= 1:
            weights = {"student": student.state_dict(), "optimizer": optimizer.state_dict()}
            save_state(build_dir / "vlm.pt", {"step": step, "spent_s": pace.elapsed_s, "loss": mean, **weights})
