"""Training data are balanced, true, and the same for the same generator."""

import numpy as np
import pytest
import torch

from studio_mini.train.task_cache import TaskSet, cached_tasks, ensure_tasks, render_tasks
from studio_mini.train.training_data import SUFFIX, Gallery, draw_example, gallery, outcome, vary
from studio_mini.world import prompts
from studio_mini.world.prompts import Accessory, Edit, Expression, Look
from studio_mini.world.tasks import Split


@pytest.fixture(scope="module")
def tasks() -> TaskSet:
    return render_tasks(range(3), Split.HELD_OUT)


@pytest.fixture(scope="module")
def pool(tasks: TaskSet) -> Gallery:
    return gallery(tasks)


def test_gallery_counts_priors_as_unnatural(tasks: TaskSet, pool: Gallery) -> None:
    assert len(pool) == 9
    assert pool.natural.tolist() == [True] * 6 + [False] * 3
    assert pool.looks[6:] == tasks.scene_looks
    assert np.array_equal(pool.pictures[6:], tasks.prior)


def test_lessons_are_true_balanced_and_repeatable(pool: Gallery) -> None:
    example = draw_example(pool, 200, np.random.default_rng(3))
    again = draw_example(pool, 200, np.random.default_rng(3))
    assert example.questions == again.questions
    assert torch.equal(example.pictures, again.pictures)
    assert example.answers.shape == (200, 6)
    assert example.pictures.dtype == torch.uint8
    balance = example.answers[:, :-1].float().mean()
    assert 0.42 < balance < 0.58
    expressions, accessories = list(Expression), list(Accessory)
    for item in range(200):
        look = Look(expressions[example.expressions[item]], accessories[example.accessories[item]])
        truth = dict(prompts.attribute_questions(look))
        for slot in range(3):
            assert truth[example.questions[slot][item].removesuffix(SUFFIX)] == bool(example.answers[item, slot])


def test_fewer_questions_are_asked_where_fewer_are_wanted(pool: Gallery) -> None:
    example = draw_example(pool, 5, np.random.default_rng(3), attributes=1, instructions=1)
    assert example.answers.shape == example.weights.shape == (5, 3)
    assert {text.removesuffix(SUFFIX) for text in example.questions[-1]} == {prompts.NATURAL_QUESTION}


def test_pictures_are_drawn_as_often_as_is_asked_for(pool: Gallery) -> None:
    shares = np.zeros(len(pool))
    shares[[1, 7]] = 0.75, 0.25
    example = draw_example(pool, 200, np.random.default_rng(0), attributes=1, instructions=1, shares=shares)
    assert 0.65 < float(example.answers[:, -1].mean()) < 0.85  # the second is a prior


def test_outcome_numbers_the_edited_look() -> None:
    edits = [Edit(Expression.SAD), Edit(accessory=Accessory.HAT)]
    expressions, accessories = outcome(edits, [Look(Expression.SMILE, Accessory.GLASSES)] * 2)
    assert [list(Expression)[k] for k in expressions] == [Expression.SAD, Expression.SMILE]
    assert [list(Accessory)[k] for k in accessories] == [Accessory.GLASSES, Accessory.HAT]


def test_varying_keeps_the_picture_recognizable(pool: Gallery) -> None:
    pictures = torch.from_numpy(pool.pictures)
    varied = vary(pictures, np.random.default_rng(0))
    assert varied.shape == pictures.shape
    either = torch.minimum(
        (varied.float() - pictures.float()).abs().mean((1, 2, 3)),
        (varied.float() - pictures.flip(2).float()).abs().mean((1, 2, 3)),
    )
    assert either.max() < 30


def test_pictures_need_not_be_softened(pool: Gallery) -> None:
    pictures = torch.from_numpy(pool.pictures)
    sharp = vary(pictures, np.random.default_rng(0), soften=False).float()
    gain = sharp.mean((1, 2, 3), keepdim=True) / pictures.float().mean((1, 2, 3), keepdim=True)
    either = torch.minimum(
        (sharp - gain * pictures.float()).abs().mean((1, 2, 3)),
        (sharp - gain * pictures.flip(2).float()).abs().mean((1, 2, 3)),
    )
    assert either.max() < 3


def test_rendered_shards_come_back_as_they_were(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio_mini.train.task_cache.SHARD", 2)
    ensure_tasks(tmp_path, 3, Split.HELD_OUT)
    stored, fresh = cached_tasks(tmp_path, Split.HELD_OUT), render_tasks(range(4), Split.HELD_OUT)
    assert len(stored) == 4
    assert np.array_equal(stored.truth, fresh.truth)
    assert (stored.edits, stored.looks, stored.scene_looks) == (fresh.edits, fresh.looks, fresh.scene_looks)
