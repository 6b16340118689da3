"""What judges are shown and what they say, as far as providers agree on it."""

import base64
import re

from eacps.errors import ScorerFailed
from eacps.imaging import Picture, encode_png

_WORD = re.compile(r"[^\W\d_]+")


def data_url(picture: Picture) -> str:
    """Give a picture as a data URL, PNG. Takes as long as encoding does: keep it off the event loop."""
    return "data:image/png;base64," + base64.b64encode(encode_png(picture)).decode()


def first_word(text: str) -> str:
    """Give the first word in small letters: ``**Yes**, it`` says yes; empty where there is none."""
    found = _WORD.search(text)
    return found.group().lower() if found else ""


def yes_or_no(text: str) -> float:
    """Read a plain answer: 1 for Yes, 0 for No.

    Raises:
        ScorerFailed: Its first word is neither.
    """
    word = first_word(text)
    if word not in ("yes", "no"):
        raise ScorerFailed("the answer is neither Yes nor No")
    return 1.0 if word == "yes" else 0.0
