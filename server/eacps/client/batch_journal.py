"""What a batch has reached, on disk: one line of JSON for every step, so that it goes on after any interruption."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

JOURNAL = "batch.jsonl"
SUBMITTED, SUCCEEDED, FAILED, CANCELLED = "submitted", "succeeded", "failed", "cancelled"


@dataclass(frozen=True)
class ShotEntry:
    """Where one shot stands.

    Args:
        key: Of the shot.
        shot: Its name.
        search_id: Empty where the server did not take the request.
        state: submitted, succeeded, failed or cancelled.
        attempt: Searches for it so far.
        reason: Why it failed, or its files could not be written: for machines.
        failure: The same for people.
        best: Id of its best candidate, where it succeeded.
        delivered: Hash of the picture to deliver.
        candidates: A row of values for every candidate, where it succeeded.
        files: Path within the folder by candidate.
    """

    key: str
    shot: str
    search_id: str
    state: str
    attempt: int = 1
    reason: str = ""
    failure: str = ""
    best: str = ""
    delivered: str = ""
    candidates: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


class Journal:
    """The file ``batch.jsonl`` of a batch's folder.

    Args:
        folder: Of the batch; it is made with the first entry.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL
        self._entries: dict[str, ShotEntry] = {}
        if self._path.is_file():
            for line in self._path.read_bytes().split(b"\n"):
                entry = _entry_of(line)
                if entry is not None:
                    self._entries[entry.key] = entry

    def entry(self, key: str) -> ShotEntry | None:
        """Return what was last recorded of a shot."""
        return self._entries.get(key)

    def entries(self) -> list[ShotEntry]:
        """Return what was last recorded of every shot, in the order in which they were first recorded."""
        return list(self._entries.values())

    def record(self, entry: ShotEntry) -> None:
        """Record where a shot stands now."""
        self._entries[entry.key] = entry
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(asdict(entry), ensure_ascii=False, separators=(",", ":")) + "\n"
        with self._path.open("ab") as file:
            if file.tell() and not self._ends_with_line():
                line = "\n" + line
            file.write(line.encode())

    def _ends_with_line(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) == b"\n"


def _entry_of(line: bytes) -> ShotEntry | None:
    """Read a line; None for what a writer that was killed left of its last one."""
    try:
        return ShotEntry(**json.loads(line))
    except (ValueError, TypeError):
        return None
