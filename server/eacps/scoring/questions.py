"""The questions put to vision-language models: from versioned text files, or a caller's own. Results name each."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

from eacps.scoring.scorer import Scorer

_SCENE, _RESULT, _PROMPT = "{scene}", "{result}", "{prompt}"
PLACEHOLDERS = frozenset({_SCENE, _RESULT, _PROMPT})
_DIGITS_OF_DIGEST = 16
RUBRIC_SCALE = 25.0
"""Highest score of EditScore and UnifiedReward-Edit."""


@dataclass(frozen=True)
class Question:
    """A yes/no question about a picture, where yes is good; or the task of a reward model, which answers with scores.

    Attributes:
        name: ``realism``, ``prompt``, or a label of a caller's own.
        version: ``v1``, ``v2``, ... of a file's text, counted up whenever that changes; a digest of a caller's text:
            scores of different texts do not compare.
        template: The text; ``{prompt}`` stands for the edit's prompt, ``{result}`` for the picture that is judged, and
            ``{scene}`` for the picture before the edit, which is then shown before the result.
        scale: Highest score of a reward model, whose lowest is 0; 0 for a yes/no question.
    """

    name: str
    version: str
    template: str
    scale: float = 0.0

    @property
    def identity(self) -> str:
        """Name and version, such as ``realism@v1``."""
        return f"{self.name}@{self.version}"

    def text(self, prompt: str, *, scene: str = "the first picture", result: str = "the second picture") -> str:
        """Return the question as asked.

        Args:
            prompt: Of the edit.
            scene: What the scene is called if it is shown.
            result: What the result is called beside it.
        """
        # Not str.format: a prompt may contain braces. The prompt comes last, so that it is not searched for others.
        text = self.template.replace(_SCENE, scene).replace(_RESULT, result if self.shows_scene else "the picture")
        return text.replace(_PROMPT, prompt)

    @property
    def shows_scene(self) -> bool:
        """Whether the scene is shown before the result."""
        return _SCENE in self.template

    @property
    def tells_prompt(self) -> bool:
        """Whether the edit's prompt is part of the question."""
        return _PROMPT in self.template


Judge = Callable[[Question], Scorer]
"""Returns a scorer that puts a question to one model; its name is the judge's, a dot, and the question's."""


def load_question(name: str, version: int = 1) -> Question:
    """Read a yes/no question from the package's files.

    Raises:
        FileNotFoundError: There is no such question in this version.
    """
    return Question(name, f"v{version}", _read(f"{name}.v{version}.txt"))


def load_rubric(name: str, version: int = 1) -> Question:
    """Read the task of a reward model from the package's files.

    Raises:
        FileNotFoundError: There is no such task in this version.
    """
    return Question(name, f"rubric.v{version}", _read(f"{name}.rubric.v{version}.txt"), RUBRIC_SCALE)


def callers_question(label: str, text: str) -> Question:
    """Return a question of a caller's own, whose version is a digest of its text.

    Args:
        label: What the caller calls it.
        text: Checked: one line, not empty.
    """
    return Question(label, _digest(text), text)


def operators_rubric(name: str, text: str) -> Question:
    """Return the task of a reward model in its makers' words, whose version is a digest of its text.

    Args:
        name: ``prompt`` or ``realism``.
        text: Not empty.
    """
    return Question(name, f"rubric.{_digest(text)}", text, RUBRIC_SCALE)


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS_OF_DIGEST]}"


def _read(file: str) -> str:
    return (resources.files("eacps.scoring") / "questions" / file).read_text(encoding="utf-8").strip()
