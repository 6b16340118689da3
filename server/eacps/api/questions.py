"""Questions of callers' own: from a request's scorers to what is asked of whom. Faults name the request's fields."""

import re
import unicodedata
from collections.abc import Iterable

from eacps.api.faults import Faults
from eacps.scoring.questions import PLACEHOLDERS, Question, callers_question
from eacps.v1 import search_service_pb2 as pb

MAX_QUESTION_CHARACTERS = 500
# Marks of the text encoder's chat form: within a text they would be read as structure, not as words.
RESERVED_MARK = re.compile(r"<\|\w+\|>")
_LABEL = re.compile(r"[a-z0-9_]{1,32}")
_PLACEHOLDER = re.compile(r"\{\w*\}")
_BREAKS = ("Cc", "Zl", "Zp")
"""Unicode's categories of control characters and of separators of lines and paragraphs."""


def questions_of(
    faults: Faults, scorers: Iterable[pb.ScorerSettings], offered: frozenset[str], judges: frozenset[str]
) -> dict[str, Question]:
    """Read the questions of a request, by the names of the scorers that are to put them.

    Args:
        faults: Told what is wrong with them; what is at fault is among the questions all the same.
        scorers: Of the request.
        offered: Names of the server's own scorers.
        judges: Whom questions may be put to.
    """
    questions = {}
    for index, scorer in enumerate(scorers):
        if scorer.HasField("question"):
            _check_name(faults, f"scorers[{index}].name", scorer.name, offered, judges)
            _check_text(faults, f"scorers[{index}].question", scorer.question)
            questions[scorer.name] = callers_question(scorer.name.partition(".")[2], scorer.question)
    return questions


def _check_name(faults: Faults, path: str, name: str, offered: frozenset[str], judges: frozenset[str]) -> None:
    judge, dot, label = name.partition(".")
    if name in offered:
        faults.add(path, f"{name!r} is a scorer of the server's own; a question needs another name")
    elif not dot or judge not in judges:
        known = ", ".join(sorted(judges)) or "nobody"
        faults.add(path, f"{name[:40]!r} does not say who is asked; <judge>.<label> does, of {known}")
    elif not _LABEL.fullmatch(label):
        faults.add(path, f"{label[:40]!r} is no label: 1 to 32 of a to z, 0 to 9 and _")


def _check_text(faults: Faults, path: str, text: str) -> None:
    if not text.strip():
        faults.add(path, "is empty")
    elif len(text) > MAX_QUESTION_CHARACTERS:
        faults.add(path, f"has {len(text)} characters; at most {MAX_QUESTION_CHARACTERS} are accepted")
    elif mark := RESERVED_MARK.search(text):
        faults.add(path, f"holds the reserved mark {mark.group()[:40]}")
    elif any(unicodedata.category(letter) in _BREAKS for letter in text):
        faults.add(path, "holds a line break or another control character")
    elif strange := sorted(set(_PLACEHOLDER.findall(text)) - PLACEHOLDERS):
        known = ", ".join(sorted(PLACEHOLDERS))
        faults.add(path, f"holds {strange[0][:40]}; placeholders are {known}")
