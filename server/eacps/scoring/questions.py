"""The questions put to vision-language models: one versioned text file each, so that a result can name its question."""

from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Question:
    """A yes/no question about a picture; yes is good.

    Attributes:
        name: ``realism``, ``prompt``, ...
        version: Counts up whenever the text changes, since scores of different texts do not compare.
        template: The text; ``{prompt}`` stands for the edit's prompt, ``{scene}`` and ``{result}`` for the pictures
            before and after it, where both are to be shown.
    """

    name: str
    version: int
    template: str

    @property
    def identity(self) -> str:
        """Name and version, such as ``realism@v1``."""
        return f"{self.name}@v{self.version}"

    def text(self, prompt: str) -> str:
        """The question as asked about an edit with this prompt."""
        # Not str.format: a prompt may well contain braces. The prompt comes last: it is not searched for others.
        text = self.template.replace("{scene}", "the first picture").replace("{result}", "the second picture")
        return text.replace("{prompt}", prompt)

    @property
    def shows_scene(self) -> bool:
        """Whether the scene is to be shown before the result."""
        return "{scene}" in self.template


def load_question(name: str, version: int = 1) -> Question:
    """Read a question from the package's files.

    Raises:
        FileNotFoundError: There is no such question in this version.
    """
    file = resources.files("eacps.scoring") / "questions" / f"{name}.v{version}.txt"
    return Question(name, version, file.read_text(encoding="utf-8").strip())
