"""Marks of the chat form in which language models read prompts."""

import re

# A user's text that holds such a mark would be read as structure, not as words.
_RESERVED_MARK = re.compile(r"<\|\w+\|>")


def reserved_mark_in(text: str) -> str | None:
    """Return the first mark of the chat form that ``text`` holds, or None."""
    found = _RESERVED_MARK.search(text)
    return found.group() if found else None
