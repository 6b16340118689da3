"""Find JSON in a model's reply, among code fences, prose and typographic quotes."""

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

_QUOTES = str.maketrans("“”„‟‘’‚‛", "\"\"\"\"''''")
_FENCE = re.compile(r"```[a-z0-9]*", re.IGNORECASE)
_MOST_OBJECTS = 64


class Contradictory(Exception):
    """An object has one key twice, with different values."""


def split_objects(text: str) -> tuple[list[Mapping[str, Any]], str]:
    """Return the JSON objects in a text, keys in lower case, and the text without them and without code fences.

    Raises:
        Contradictory: An object has a key twice, with different values.
    """
    text = _FENCE.sub("", text)
    objects: list[Mapping[str, Any]] = []
    prose, at = "", 0
    for _ in range(_MOST_OBJECTS):
        start = text.find("{", at)
        if start < 0:
            break
        end = _end_of(text, start)
        value = _parsed(text[start:end])
        if value is None:
            prose, at = prose + text[at : start + 1], start + 1
        else:
            objects.append(value)
            prose, at = f"{prose}{text[at:start]}\n", end
    return objects, prose + text[at:]


def _end_of(text: str, start: int) -> int:
    """Return the index after the brace that closes the one at ``start``; ``start`` if none does."""
    depth, quoted, escaped = 0, False, False
    for index in range(start, len(text)):
        character = text[index]
        if quoted:
            quoted, escaped = escaped or character != '"', character == "\\" and not escaped
        elif character == '"':
            quoted = True
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return index + 1
    return start


def _parsed(text: str) -> Mapping[str, Any] | None:
    """Return the object; None if the text is none."""
    for candidate in dict.fromkeys((text, text.translate(_QUOTES))):
        try:
            data = json.loads(candidate, object_pairs_hook=_lower_keys)
        except (ValueError, RecursionError):  # also for integers of thousands of digits
            continue
        return data if isinstance(data, dict) else None
    return _python_dict(text.translate(_QUOTES))


def _python_dict(text: str) -> Mapping[str, Any] | None:
    """Read ``{'answer': 'Yes'}``, which is Python and no JSON."""
    if "\\" in text:  # an unknown escape in it would be a warning
        return None
    try:
        data = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
    return _lower_keys([(str(key), value) for key, value in data.items()]) if isinstance(data, dict) else None


def _lower_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key, value in ((key.strip().lower(), value) for key, value in pairs):
        if key in merged and merged[key] != value:
            raise Contradictory
        merged[key] = value
    return merged
