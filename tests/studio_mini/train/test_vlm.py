"""The judge's stage: losses reach every weight, and P(yes) is what the judge says at run time."""

import numpy as np
import pytest
import torch
from PIL import Image

from studio_mini.architecture import build_processor
from studio_mini.tokenizer import judge_text, train_tokenizer
from studio_mini.train import vlm
from studio_mini.train.judge_report import area_under_curve, balanced_accuracy
from studio_mini.train.task_cache import TaskSet, render_tasks
from studio_mini.train.training_data import draw_example, gallery
from studio_mini.world.tasks import Split


@pytest.fixture(scope="module")
def tasks() -> TaskSet:
    return render_tasks(range(3), Split.HELD_OUT)


@pytest.fixture(scope="module")
def student() -> vlm.Student:
    torch.set_num_threads(1)
    return vlm.Student(build_processor(train_tokenizer()), seed=0)


def test_losses_reach_every_weight(student: vlm.Student, tasks: TaskSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vlm, "BATCH", 4)
    rng = np.random.default_rng(0)
    loss = student.judge_loss(draw_example(gallery(tasks), 4, rng)) + student.edit_loss(tasks, rng)
    loss.backward()
    without = [name for name, p in student.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@torch.no_grad()
def test_p_yes_is_the_softmax_of_the_two_answers(student: vlm.Student, tasks: TaskSet) -> None:
    question = "Is the person smiling?"
    ours = student.p_yes(tasks.truth[:2], [[question] * 2])
    processor = build_processor(train_tokenizer())
    for item in range(2):
        inputs = processor(text=[judge_text(question)], images=[Image.fromarray(tasks.truth[item])])
        logits = student.model(**inputs).logits[0, -1]
        expected = logits[[student.yes, student.no]].softmax(0)[0]
        torch.testing.assert_close(ours[item, 0], expected, atol=1e-4, rtol=1e-3)


def test_measures_of_the_judge() -> None:
    scores = np.array([0.9, 0.8, 0.3, 0.2], dtype=np.float32)
    answers = np.array([True, True, True, False])
    assert balanced_accuracy(scores, answers) == pytest.approx((2 / 3 + 1) / 2)
    assert area_under_curve(scores[:2], scores[2:]) == 1.0
    assert area_under_curve(scores[:1], scores[:1]) == 0.5
