"""From a judge's reply to a number in [0, 1], in each of the forms that a judge is asked for.

- A *word*, Yes or No, of a judge that gives log-probabilities: P(yes) / (P(yes) + P(no)) at that word.
- A *grade* of any other judge: the probability of a yes as a number in JSON; a plain Yes is 1, a plain No 0.
- The *scores* of a reward model: a list of numbers up to its scale, of which the least counts.

What is not clearly one of these raises `ScorerFailed`, and the score is missing. It is never guessed.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eacps.errors import ScorerFailed
from eacps.scoring.json_in_text import Contradictory, split_objects
from eacps.scoring.reasoning import without_reasoning
from eacps.scoring.verdicts import Verdict, find_verdict, sign_of

_ANSWER_KEYS = (
    "answer",
    "final_answer",
    "final answer",
    "verdict",
    "decision",
    "judgment",
    "judgment",
    "response",
    "result",
)
GRADE_KEY = "probability_of_yes"
_GRADE_KEYS = (GRADE_KEY, "probability", "p_yes", "likelihood", "score", "rating", "grade", "value")
_NUMBER = r"[-+]?(?:\d+(?:[.,]\d+)?|[.,]\d+)(?:e[-+]?\d+)?"
_GRADE = re.compile(
    rf"(?:(?:the\s+)?(?:final\s+|overall\s+)?(?:probability(?:[ _]of[ _](?:a[ _])?yes)?|score|rating|grade|answer)"
    rf"\s*(?:is|:|=)\s*)?(?P<number>{_NUMBER})\s*(?:(?P<percent>%)|/\s*(?P<scale>\d+(?:\.\d+)?))?\s*\.?",
    re.IGNORECASE,
)
_MARKUP = str.maketrans("", "", "*_`\"'“”‘’$")
_SCORES = re.compile(r"[\"']?score[\"']?\s*[:：]\s*\[([^\[\]]*)\]", re.IGNORECASE)
_MIN_ANSWER_MASS = 0.1
"""Below this probability of yes and no together, the word was no answer and their ratio is noise."""


@dataclass(frozen=True)
class Token:
    """One token of a reply.

    Attributes:
        text: The token.
        alternatives: Alternative tokens and the token itself, with log-probabilities.
    """

    text: str
    alternatives: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Reply:
    """The reply of a judge.

    Attributes:
        text: Everything in the fields that are for the answer; may hold thoughts.
        truncated: Whether the reply ended before the answer did: cut off because of its length, or all thoughts.
        tokens: Tokens with their log-probabilities; None if the endpoint gave none.
    """

    text: str
    truncated: bool = False
    tokens: Sequence[Token] | None = None


class CutOff(ScorerFailed):
    """The reply ended before the answer did, because it may not be longer."""


class NotGraded(ScorerFailed):
    """The judge answered, but gave no log-probabilities that grade the answer."""


def read_word(reply: Reply) -> float:
    """Read P(yes) from the log-probabilities of a reply's Yes or No.

    Raises:
        CutOff: The reply was cut off before its answer was complete.
        NotGraded: The endpoint gave no log-probabilities, or none of a yes or no.
        ScorerFailed: The reply is neither.
    """
    answer = without_reasoning(reply.text)
    verdict = _verdict_in(answer)
    if _ended_early(reply, answer) and (verdict is None or verdict.ends_text):
        raise CutOff("the answer was cut off")
    if reply.tokens is None:
        raise NotGraded("the answer carries no log-probabilities")
    if verdict is None:
        raise _unclear(answer)
    graded = _p_yes(reply.tokens, verdict)
    if graded is None:
        raise NotGraded("no log-probabilities of Yes and No")
    return graded


def read_grade(reply: Reply) -> float:
    """Read the probability of a yes from a graded answer.

    Raises:
        CutOff: The reply was cut off.
        ScorerFailed: The reply holds neither one number in [0, 1] nor a clear Yes or No.
    """
    answer = without_reasoning(reply.text)
    if _ended_early(reply, answer):
        raise CutOff("the answer was cut off")
    objects, prose = _split(answer)
    named = [data[key] for data in objects for key in _GRADE_KEYS if key in data]
    grades = named or [data[key] for data in objects for key in _ANSWER_KEYS if _number_of(data.get(key)) is not None]
    if grades:
        return _agreed([_fraction_of(value) for value in grades])
    if not objects and (grade := _grade_in(prose)) is not None:
        return grade
    verdict = _verdict_in(answer)
    if verdict is None:
        raise _unclear(answer)
    return 1.0 if verdict.yes else 0.0


def read_scores(reply: Reply, scale: float) -> float:
    """Read the scores of a reward model: the least of them, as a fraction of the scale.

    Args:
        reply: ``{"reasoning": "...", "score": [20, 18]}``, perhaps with quotes in the reasoning that break the JSON.
        scale: Highest score.

    Raises:
        CutOff: The reply was cut off.
        ScorerFailed: The reply holds no list of scores from 0 to ``scale``, or several that differ.
    """
    answer = without_reasoning(reply.text)
    if _ended_early(reply, answer):
        raise CutOff("the answer was cut off")
    objects, _ = _split(answer)
    lists = [data["score"] for data in objects if "score" in data]
    if not lists:
        lists = [text.split(",") for text in _SCORES.findall(answer)]
    if not lists:
        raise ScorerFailed("the answer carries no scores")
    return _agreed([min(_scores_of(scores, scale)) / scale for scores in lists])


def _ended_early(reply: Reply, answer: str) -> bool:
    return reply.truncated or (not answer.strip() and bool(reply.text.strip()))


def _scores_of(scores: Any, scale: float) -> list[float]:
    values = [_number_of(one) for one in (scores if isinstance(scores, list) else [scores])]
    if not values or any(value is None or not 0.0 <= value <= scale for value in values):
        raise ScorerFailed(f"the answer's scores are not numbers from 0 to {scale:g}")
    return [value for value in values if value is not None]


def _verdict_in(answer: str) -> Verdict | None:
    """Return the verdict of a text, of the JSON in it or of both; None if they have none or differ."""
    objects, prose = _split(answer)
    values = [data[key] for data in objects for key in _ANSWER_KEYS if key in data]
    verdicts = [_verdict_of(value) for value in values]
    verdict = find_verdict(prose)
    if verdict is not None:
        verdicts.append(verdict)
    if not verdicts or None in verdicts or len({one.yes for one in verdicts if one is not None}) != 1:
        return None
    return verdicts[-1]


def _verdict_of(value: Any) -> Verdict | None:
    if isinstance(value, bool):
        return Verdict(value, "true" if value else "false", ends_text=False)
    return find_verdict(value) if isinstance(value, str) else None


def _split(answer: str) -> tuple[list[Mapping[str, Any]], str]:
    try:
        return split_objects(answer)
    except Contradictory as exc:
        raise ScorerFailed("the answer contradicts itself") from exc


def _p_yes(tokens: Sequence[Token], verdict: Verdict) -> float | None:
    """Return P(yes) from the alternatives at the token of the verdict; None if they do not determine it."""
    answers = [token for token in tokens if sign_of(token.text) is verdict.yes]
    first = next((token for token in tokens if any(character.isalnum() for character in token.text)), None)
    if not answers or first is None:
        return None
    decisive = first if first is answers[0] else answers[-1]
    mass = {True: 0.0, False: 0.0}
    for text, logprob in decisive.alternatives:
        sign = sign_of(text)
        if sign is not None and logprob <= 0.0:
            mass[sign] += math.exp(logprob)
    total = mass[True] + mass[False]
    return mass[True] / total if total >= _MIN_ANSWER_MASS else None


def _grade_in(prose: str) -> float | None:
    """Return the number that is all of a text, or all of its first or last line, such as ``Score: 0.7``."""
    lines = [line.strip() for line in prose.translate(_MARKUP).splitlines() if line.strip()]
    found = [match for line in {*lines[:1], *lines[-1:]} if (match := _GRADE.fullmatch(line)) is not None]
    return _agreed([_matched(match) for match in found]) if found else None


def _fraction_of(value: Any) -> float:
    match = _GRADE.fullmatch(value.strip()) if isinstance(value, str) else None
    return _within(_number_of(value), 1.0) if match is None else _matched(match)


def _matched(match: re.Match[str]) -> float:
    scale = float(match["scale"]) if match["scale"] is not None else 100.0 if match["percent"] else 1.0
    return _within(_number_of(match["number"]), scale)


def _within(value: float | None, scale: float) -> float:
    if value is None or scale <= 0.0 or not 0.0 <= value <= scale:
        raise ScorerFailed("the answer carries no number in [0, 1]")
    return value / scale


def _agreed(values: Sequence[float]) -> float:
    if len(set(values)) != 1:
        raise ScorerFailed("the answer carries several numbers")
    return values[0]


def _number_of(value: Any) -> float | None:
    """Return a finite number, or the number that a string is; None for anything else, booleans included."""
    if isinstance(value, str) and re.fullmatch(_NUMBER, value.strip(), re.IGNORECASE):
        value = float(value.strip().replace(",", "."))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _unclear(answer: str) -> ScorerFailed:
    return ScorerFailed("the answer is neither Yes nor No" if answer.strip() else "the answer is empty")
