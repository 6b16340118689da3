"""Converts the questions in the scorers of a request. Violations name its fields."""

import re
import unicodedata
from collections.abc import Sequence

from eacps.api.violations import Violations
from eacps.limits import MAX_QUESTION_CHARACTERS, MAX_SCORERS, QUESTION_LABEL
from eacps.scoring.questions import PLACEHOLDERS, Question, callers_question
from eacps.v1 import search_service_pb2 as pb

# Marks of the text encoder's chat template: inside a text they would act as structure.
RESERVED_MARK = re.compile(r"<\|\w+\|>")
_LABEL = re.compile(QUESTION_LABEL)
_PLACEHOLDER = re.compile(r"\{\w*\}")
_BREAKS = ("Cc", "Zl", "Zp")
"""Unicode categories of control characters, line separators and paragraph separators."""


def questions_of(
    violations: Violations, scorers: Sequence[pb.ScorerSettings], offered: frozenset[str], judges: frozenset[str]
) -> dict[str, Question]:
    """Return the questions of a request by the names of their scorers, invalid ones included.

    Args:
        violations: Collects them.
        scorers: Scorers of the request; those beyond `MAX_SCORERS` are not read, since `objective_of` refuses them.
        offered: Names of the scorers of the server.
        judges: Names of the judges that can be asked.
    """
    questions = {}
    for index, scorer in enumerate(scorers[:MAX_SCORERS]):
        if scorer.HasField("question"):
            _check_name(violations, f"scorers[{index}].name", scorer.name, offered, judges)
            _check_text(violations, f"scorers[{index}].question", scorer.question)
            questions[scorer.name] = callers_question(scorer.name.partition(".")[2], scorer.question)
    return questions


def _check_name(violations: Violations, path: str, name: str, offered: frozenset[str], judges: frozenset[str]) -> None:
    judge, dot, label = name.partition(".")
    if name in offered:
        violations.add(path, f"{name!r} is a scorer of the server; a question needs another name")
    elif not dot or judge not in judges:
        known = ", ".join(sorted(judges)) or "(none)"
        violations.add(path, f"{name[:40]!r} is not <judge>.<label> with one of the judges {known}")
    elif not _LABEL.fullmatch(label):
        violations.add(path, f"{label[:40]!r} is not a label of 1 to 32 characters of a to z, 0 to 9 and _")


def _check_text(violations: Violations, path: str, text: str) -> None:
    if not text.strip():
        violations.add(path, "is empty")
    elif len(text) > MAX_QUESTION_CHARACTERS:
        violations.add_limit(path, f"has {len(text)} characters; at most {MAX_QUESTION_CHARACTERS} are accepted")
    elif mark := RESERVED_MARK.search(text):
        violations.add(path, f"contains the reserved mark {mark.group()[:40]}")
    elif any(unicodedata.category(letter) in _BREAKS for letter in text):
        violations.add(path, "contains a line break or another control character")
    elif strange := sorted(set(_PLACEHOLDER.findall(text)) - PLACEHOLDERS):
        known = ", ".join(sorted(PLACEHOLDERS))
        violations.add(path, f"contains {strange[0][:40]}; the placeholders are {known}")
