"""Bundled pictures to begin with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PICTURES = ("scene", "character")


@dataclass(frozen=True)
class StudioSamples:
    """Scenes and characters with a prompt. Only what was found at the start can be read.

    Args:
        prompts: Prompt by name.
        files: Picture by name and kind: scene or character.
    """

    prompts: Mapping[str, str]
    files: Mapping[tuple[str, str], Path]

    @classmethod
    def found_in(cls, folder: Path) -> "StudioSamples":
        """Return the samples of a folder: in each folder ``scene.png``, ``character.png`` and ``prompt.txt``."""
        prompts: dict[str, str] = {}
        files: dict[tuple[str, str], Path] = {}
        for text in sorted(folder.glob("*/prompt.txt")):
            pictures = {(text.parent.name, kind): text.parent / f"{kind}.png" for kind in _PICTURES}
            if all(path.is_file() for path in pictures.values()):
                prompts[text.parent.name] = text.read_text(encoding="utf-8").strip()
                files |= pictures
        return cls(prompts, files)

    def read(self, name: str, kind: str) -> bytes | None:
        """Return the file of a picture; None if there is none."""
        path = self.files.get((name, kind))
        return None if path is None else path.read_bytes()
