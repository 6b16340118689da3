"""What can be asked of a studio-mini face, in words.

An *edit* names an expression, an accessory, or both; whatever it leaves open stays as the scene has it. This module
turns edits into prompts and looks into yes/no questions with their answers. It knows nothing of pixels: the renderer
draws a ``Look``, the tokenizer learns from ``corpus``, the judge and the denoiser are trained on what is written here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np


class Expression(StrEnum):
    """The expressions the renderer draws."""

    NEUTRAL = "neutral"
    SMILE = "smile"
    SURPRISED = "surprised"
    SAD = "sad"


class Accessory(StrEnum):
    """What a person wears; one at a time."""

    NONE = "none"
    GLASSES = "glasses"
    SUNGLASSES = "sunglasses"
    HAT = "hat"


@dataclass(frozen=True)
class Look:
    """Everything about a face that a prompt can change."""

    expression: Expression = Expression.NEUTRAL
    accessory: Accessory = Accessory.NONE


@dataclass(frozen=True)
class Edit:
    """A wish: ``None`` keeps what the scene has. At least one field is set."""

    expression: Expression | None = None
    accessory: Accessory | None = None

    def __post_init__(self) -> None:
        if self.expression is None and self.accessory is None:
            raise ValueError("an edit names an expression, an accessory, or both")

    def apply(self, look: Look) -> Look:
        """Return ``look`` with the fields this edit names replaced."""
        return Look(self.expression or look.expression, self.accessory or look.accessory)

    def holds(self, look: Look) -> bool:
        """Return whether ``look`` shows everything this edit asks for."""
        return self.apply(look) == look


# Each entry: the bare form after "make the person ...", and forms after "the person is ...".
_EXPRESSION_FORMS: dict[Expression, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Expression.NEUTRAL: (("look neutral", "look calm"), ("looking neutral", "looking calm")),
    Expression.SMILE: (("smile", "look happy"), ("smiling", "looking happy")),
    Expression.SURPRISED: (("look surprised", "open the mouth"), ("looking surprised", "opening the mouth")),
    Expression.SAD: (("look sad", "frown"), ("looking sad", "frowning")),
}
_ACCESSORY_FORMS: dict[Accessory, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # "Wear nothing" alone, which the networks learned, can be read amiss; they understand it with the place added.
    Accessory.NONE: (("wear nothing on face and head",), ("wearing nothing on face and head",)),
    Accessory.GLASSES: (("wear glasses", "put on glasses"), ("wearing glasses",)),
    Accessory.SUNGLASSES: (("wear sunglasses", "put on sunglasses"), ("wearing sunglasses",)),
    Accessory.HAT: (("wear a hat", "put on a hat"), ("wearing a hat",)),
}
_BARE_FRAMES = ("make the person {}", "make them {}", "let the person {}")
_DOING_FRAMES = ("{}", "the person is {}", "a person {}", "the same person {}")

NATURAL_QUESTION = "Does this face look natural?"
EXPRESSION_QUESTIONS: dict[Expression, tuple[str, ...]] = {
    Expression.NEUTRAL: ("Does the person look neutral?", "Is the person calm?"),
    Expression.SMILE: ("Is the person smiling?", "Does the person look happy?"),
    Expression.SURPRISED: ("Does the person look surprised?", "Is the mouth open?"),
    Expression.SAD: ("Does the person look sad?", "Is the person frowning?"),
}
ACCESSORY_QUESTIONS: dict[Accessory, tuple[str, ...]] = {
    Accessory.NONE: ("Is the face without glasses and hat?",),
    Accessory.GLASSES: ("Is the person wearing glasses?",),
    Accessory.SUNGLASSES: ("Is the person wearing sunglasses?",),
    Accessory.HAT: ("Is the person wearing a hat?",),
}


def instruction_question(prompt: str) -> str:
    """Return the judge's question for any prompt; the default prompt scorer asks exactly this."""
    return f'Does the picture follow the instruction "{prompt}"?'


def all_edits() -> list[Edit]:
    """Return every edit, in a fixed order."""
    pairs = itertools.product((None, *Expression), (None, *Accessory))
    return [Edit(e, a) for e, a in pairs if e is not None or a is not None]


def all_looks() -> list[Look]:
    """Return every look, in a fixed order."""
    return [Look(e, a) for e, a in itertools.product(Expression, Accessory)]


def phrases(edit: Edit) -> list[str]:
    """Return every prompt that means ``edit``, the plainest first, all lower case without a full stop."""
    bare = _joined(edit, form=0, joints=(" and ",))
    doing = _joined(edit, form=1, joints=(" and ", ", "))
    return [
        *(frame.format(words) for frame in _BARE_FRAMES for words in bare),
        *(frame.format(words) for frame in _DOING_FRAMES for words in doing),
    ]


def phrase(edit: Edit, rng: np.random.Generator) -> str:
    """Return one prompt for ``edit``; at times capitalised or ended with a full stop, as people type."""
    choices = phrases(edit)
    prompt = choices[rng.integers(len(choices))]
    if rng.random() < 0.25:
        prompt = prompt[0].upper() + prompt[1:]
    return prompt + ("." if rng.random() < 0.25 else "")


def sample_edit(rng: np.random.Generator) -> Edit:
    """Draw an edit: expression alone 50%, accessory alone 25%, both 25%."""
    kind = rng.random()
    expression = list(Expression)[rng.integers(len(Expression))]
    accessory = list(Accessory)[rng.integers(len(Accessory))]
    if kind < 0.5:
        return Edit(expression=expression)
    if kind < 0.75:
        return Edit(accessory=accessory)
    return Edit(expression, accessory)


def sample_look(rng: np.random.Generator) -> Look:
    """Draw a look, all sixteen equally likely."""
    looks = all_looks()
    return looks[rng.integers(len(looks))]


def attribute_questions(look: Look) -> list[tuple[str, bool]]:
    """Return every attribute question with its answer for ``look``."""
    answers = [(q, e is look.expression) for e, qs in EXPRESSION_QUESTIONS.items() for q in qs]
    answers += [(q, a is look.accessory) for a, qs in ACCESSORY_QUESTIONS.items() for q in qs]
    return answers


def all_questions() -> list[str]:
    """Return the naturalness question and every attribute question."""
    return [NATURAL_QUESTION, *(question for question, _ in attribute_questions(Look()))]


def corpus() -> Iterator[str]:
    """Yield every prompt and question once, as typed; the tokenizer learns its merges from them."""
    for edit in all_edits():
        for prompt in phrases(edit):
            yield prompt
            yield prompt[0].upper() + prompt[1:] + "."
            yield instruction_question(prompt)
    yield from all_questions()


def _joined(edit: Edit, form: int, joints: tuple[str, ...]) -> list[str]:
    """Return the verb phrases of ``edit`` in one grammatical form."""
    parts = []
    if edit.expression is not None:
        parts.append(_EXPRESSION_FORMS[edit.expression][form])
    if edit.accessory is not None:
        parts.append(_ACCESSORY_FORMS[edit.accessory][form])
    if len(parts) == 1:
        return list(parts[0])
    return [joint.join(pair) for joint in joints for pair in itertools.product(*parts)]
