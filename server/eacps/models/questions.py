"""Questions to the judge, as they come in its tensor."""

import numpy as np
from numpy.typing import NDArray

from eacps.models.failures import InvalidInput


def parse_questions(array: NDArray[np.uint8]) -> list[str]:
    """Read the tensor ``questions``: UTF-8, one a line.

    Raises:
        InvalidInput: A question is not UTF-8.
    """
    try:
        return array.tobytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as exc:
        raise InvalidInput(["questions: are not UTF-8"]) from exc
