"""The grammar of edits: every prompt means one edit, and questions agree with the look."""

import numpy as np
import pytest

from studio_mini.world import prompts
from studio_mini.world.prompts import Accessory, Edit, Expression, Look


def test_an_edit_asks_for_something() -> None:
    with pytest.raises(ValueError, match="an expression, an accessory, or both"):
        Edit()


def test_no_prompt_means_two_edits() -> None:
    meaning: dict[str, Edit] = {}
    for edit in prompts.all_edits():
        for prompt in prompts.phrases(edit):
            assert meaning.setdefault(prompt, edit) == edit
    assert meaning["make the person smile"] == Edit(expression=Expression.SMILE)
    assert meaning["wearing sunglasses"] == Edit(accessory=Accessory.SUNGLASSES)
    assert meaning["make the person smile and wear a hat"] == Edit(Expression.SMILE, Accessory.HAT)


def test_applying_an_edit_makes_it_hold_and_keeps_the_rest() -> None:
    for edit in prompts.all_edits():
        for look in prompts.all_looks():
            edited = edit.apply(look)
            assert edit.holds(edited)
            assert edit.expression is not None or edited.expression is look.expression
            assert edit.accessory is not None or edited.accessory is look.accessory


def test_questions_separate_every_two_looks() -> None:
    answers = {tuple(answer for _, answer in prompts.attribute_questions(look)) for look in prompts.all_looks()}
    assert len(answers) == len(prompts.all_looks())


def test_phrase_is_repeatable_and_known_to_the_corpus() -> None:
    edit = prompts.sample_edit(np.random.default_rng(5))
    assert prompts.phrase(edit, np.random.default_rng(7)) == prompts.phrase(edit, np.random.default_rng(7))
    assert prompts.phrases(edit)[0] in set(prompts.corpus())


def test_nobody_is_asked_to_undress() -> None:
    said = [prompt for edit in prompts.all_edits() for prompt in prompts.phrases(edit)]
    nothing = [prompt for prompt in said if "nothing" in prompt]
    assert nothing
    assert all("nothing on face and head" in prompt for prompt in nothing)


def test_instruction_question_quotes_the_prompt() -> None:
    assert '"make the person smile"' in prompts.instruction_question("make the person smile")


def test_look_defaults_to_a_bare_neutral_face() -> None:
    assert Look() == Look(Expression.NEUTRAL, Accessory.NONE)
