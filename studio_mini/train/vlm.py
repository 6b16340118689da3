"""Stage ``vlm``: Qwen2.5-VL from scratch, as judge and as text encoder.

As judge it answers yes/no questions about a face. As text encoder it reads a prior and a prompt in the edit template;
its last hidden state must then tell how the edited face looks (two linear probes, thrown away afterwards), and its
prompt tokens predict one another, so that the states the denoiser is conditioned on carry the meaning of the prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Qwen2_5_VLForConditionalGeneration

from eacps.models.backbones.qwen_image_edit.prompt import edit_prompt as edit_text
from eacps.models.backbones.qwen_image_edit.prompt import judge_prompt as judge_text
from export.backbones.qwen_image_edit.processor import EditProcessor
from studio_mini.architecture import (
    TEXT_CHANNELS,
    build_processor,
    build_text_encoder,
)
from studio_mini.faces.pack import load_pack
from studio_mini.tokenizer import edit_template, train_tokenizer
from studio_mini.train.optimizer import MuonAdamW
from studio_mini.train.pace import Pace, load_state, rate_scale, save_state
from studio_mini.train.packed_vlm import (
    PackedTexts,
    Packer,
    Patcher,
    at_last,
    hidden_states,
    picture_tokens,
    use_float32_attention,
)
from studio_mini.train.precision import autocast
from studio_mini.train.reconstructions import reconstructions
from studio_mini.train.report import Report
from studio_mini.train.swapped import with_swapped_priors
from studio_mini.train.task_cache import TaskSet, cached_tasks, ensure_tasks
from studio_mini.train.training_data import (
    SUFFIX,
    Example,
    Gallery,
    draw_example,
    gallery,
    outcome,
    vary,
    with_reconstructions,
)
from studio_mini.world.prompts import Accessory, Edit, Expression, Look, phrase, sample_edit

TASKS = 7000
STEPS = 4000
BATCH = 24
EDIT_SLOTS = 3
MUON_RATE, ADAM_RATE = 3e-3, 1e-3
SAVE_EVERY = 250
SWAPPED_EVERY = 3


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
        self.yes, self.no = (processor.token_id(word) for word in ("Yes", "No"))

    def judge_loss(self, example: Example) -> Tensor:
        """Cross-entropy of the answers over the whole vocabulary, plus the picture probe's."""
        tokens = picture_tokens(self.model, self.patcher(example.pictures))
        return self._answer_losses(tokens, example).mean() + 0.3 * self._look_loss(tokens, example)

    def answer_losses(self, example: Example) -> Tensor:
        """Mean weighted cross-entropy of each slot's answers, (slots,); naturalness is the last."""
        return self._answer_losses(picture_tokens(self.model, self.patcher(example.pictures)), example).mean(0)

    def _answer_losses(self, tokens: Tensor, example: Example) -> Tensor:
        """Weighted cross-entropy of each answer, certain or graded, over the whole vocabulary, (batch, slots)."""
        texts = self.judge_packer(example.questions)
        said = self.model.lm_head(at_last(hidden_states(self.model, texts, tokens), texts)).float().log_softmax(-1)
        right = example.answers * said[..., self.yes] + (1 - example.answers) * said[..., self.no]
        return -example.weights * right

    def _look_loss(self, tokens: Tensor, example: Example) -> Tensor:
        guess = self.look_probe(tokens.mean(1)).float()
        return (
            F.cross_entropy(guess[:, : len(Expression)], example.expressions)
            + F.cross_entropy(guess[:, len(Expression) : -1], example.accessories)
            + F.binary_cross_entropy_with_logits(guess[:, -1], example.natural.float())
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
        texts = self._edit_texts(edits, len(shown), rng)
        hidden = hidden_states(self.model, texts, tokens)
        return self._outcome_loss(at_last(hidden, texts), edits, looks) + 0.2 * self._next_token_loss(hidden, texts)

    def _edit_texts(self, edits: list[list[Edit]], pictures: int, rng: np.random.Generator) -> PackedTexts:
        return self.edit_packers[pictures - 1]([[phrase(edit, rng) + SUFFIX for edit in slot] for slot in edits])

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
    """Train, or go on training, and write ``text_encoder/`` of the checkpoint; does nothing once finished.

    The checkpoint's autoencoder and face pack must be finished: the judge learns what their pictures look like.
    """
    ensure_tasks(build_dir, TASKS)
    tasks = cached_tasks(build_dir, limit=TASKS)
    pool = judge_gallery(build_dir, checkpoint_dir, tasks)
    torch.manual_seed(seed)
    student = Student(build_processor(train_tokenizer()), seed).train()

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        judged = student.judge_loss(draw_example(pool, BATCH, rng))
        return judged if step % 3 else judged + 0.5 * student.edit_loss(tasks, rng)

    train_student("vlm", student, loss, build_dir / "vlm.pt", Pace(STEPS, minutes), seed)
    student.eval().model.save_pretrained(checkpoint_dir / "text_encoder")
    (build_dir / "vlm.done").touch()


def judge_gallery(build_dir: Path, checkpoint_dir: Path, tasks: TaskSet) -> Gallery:
    """What the judge sees: drawings, priors drawn and swapped, and a third of them through the autoencoder."""
    pack = load_pack(checkpoint_dir / "faces", threads=torch.get_num_threads())
    pool = gallery(tasks, with_swapped_priors(tasks.every(SWAPPED_EVERY), pack))
    return with_reconstructions(pool, reconstructions(build_dir, f"judge_{len(tasks)}", pool.pictures, checkpoint_dir))


StepLoss = Callable[[int, np.random.Generator], Tensor]


def train_student(
    name: str, student: Student, loss_of: StepLoss, state_path: Path, pace: Pace, seed: int, rate: float = 1.0
) -> None:
    """Descend ``loss_of(step, rng)`` at ``rate`` times the peak rates until ``pace`` ends, keeping ``state_path``."""
    optimizer = MuonAdamW(student, muon_rate=rate * MUON_RATE, adam_rate=rate * ADAM_RATE, weight_decay=0.05)
    step, mean = 0, 0.0
    if state := load_state(state_path):
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        step, mean, pace.spent_s = state["step"], state["loss"], state["spent_s"]
    with Report(name) as report:
        while (progress := pace.progress(step)) < 1:
            with autocast():
                loss = loss_of(step, np.random.default_rng([seed, step]))
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step(rate_scale(progress, step))
            step += 1
            mean += (float(loss.detach()) - mean) / min(step, 100)
            report.show(progress, step, f"loss {mean:.3f}")
            if step % SAVE_EVERY == 0 or pace.progress(step) >= 1:
                weights = {"student": student.state_dict(), "optimizer": optimizer.state_dict()}
                save_state(state_path, {"step": step, "spent_s": pace.elapsed_s, "loss": mean, **weights})
