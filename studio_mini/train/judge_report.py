"""How well the judge answers, on people it has never seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio_mini.train.task_cache import render_tasks
from studio_mini.train.training_data import SUFFIX, Gallery, draw_example, gallery
from studio_mini.train.vlm import Student
from studio_mini.world import prompts
from studio_mini.world.tasks import Split


def judge_report(student: Student, tasks: int = 150) -> dict[str, float]:
    """Measure on held-out tasks.

    Returns:
        ``attributes``: mean balanced accuracy over the attribute questions, on clean pictures; one entry for each
        question as well; ``instructions``: balanced accuracy of the quoted-prompt question; ``natural_auc``: area
        under the curve, clean pictures against bad transplants.
    """
    held_out = render_tasks(range(tasks), Split.HELD_OUT)
    clean = np.concatenate([held_out.scene, held_out.truth])
    looks = [*held_out.scene_looks, *held_out.looks]
    questions = [question for question, _ in prompts.attribute_questions(looks[0])]
    answers = np.array([[answer for _, answer in prompts.attribute_questions(look)] for look in looks])
    scores = student.p_yes(clean, [[question] * len(clean) for question in questions]).numpy()
    each = {q: balanced_accuracy(scores[:, k], answers[:, k]) for k, q in enumerate(questions)}
    return {
        "attributes": float(np.mean(list(each.values()))),
        "instructions": _instruction_accuracy(student, gallery(held_out), len(clean)),
        "natural_auc": _natural_auc(student, clean, held_out.prior),
        **each,
    }


def balanced_accuracy(scores: NDArray[np.float32], answers: NDArray[np.bool_]) -> float:
    """Mean of the shares of right answers among yes and among no, at threshold 0.5."""
    said = scores > 0.5
    return float(0.5 * (said[answers].mean() + (~said[~answers]).mean()))


def area_under_curve(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> float:
    """Probability that a positive scores above a negative, ties counting half."""
    above = (positive[:, None] > negative[None]).mean()
    ties = (positive[:, None] == negative[None]).mean()
    return float(above + 0.5 * ties)


def _instruction_accuracy(student: Student, pool: Gallery, count: int) -> float:
    example = draw_example(pool, count, np.random.default_rng(0))
    slots = [3, 4]
    questions = [[text.removesuffix(SUFFIX) for text in example.questions[slot]] for slot in slots]
    scores = student.p_yes(example.pictures.numpy(), questions).numpy()
    return balanced_accuracy(scores.ravel(), example.answers[:, slots].numpy().ravel())


def _natural_auc(student: Student, clean: NDArray[np.uint8], spoilt: NDArray[np.uint8]) -> float:
    pictures = np.concatenate([clean, spoilt])
    scores = student.p_yes(pictures, [[prompts.NATURAL_QUESTION] * len(pictures)]).numpy()[:, 0]
    return area_under_curve(scores[: len(clean)], scores[len(clean) :])
