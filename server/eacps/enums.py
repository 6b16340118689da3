"""The API's enums as words, once, for validation, converters and the command line.

A word is the name of a value without the name of the enum, in lower case: ``SCALARIZATION_RANK_SUM`` is ``rank_sum``.
For a oneof, the words are the names of its fields. They are the values of the enums of the domain too. The table below
adds what the API itself cannot express: the default.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.protobuf.message import Message

from eacps.v1 import search_service_pb2 as pb

_UNSPECIFIED = 0


@dataclass(frozen=True)
class Words:
    """One enum of the API.

    Args:
        enum: As generated.
        default: Word that an unspecified value means; None if that depends on other fields.
    """

    enum: Any
    default: str | None = None

    @cached_property
    def numbers(self) -> Mapping[str, Any]:
        """Numbers by word, without the unspecified one."""
        prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.enum.DESCRIPTOR.name).upper() + "_"
        return {
            name.removeprefix(prefix).lower(): number for name, number in self.enum.items() if number != _UNSPECIFIED
        }

    @property
    def words(self) -> Sequence[str]:
        """All words, in the order of their numbers."""
        return list(self.numbers)

    def word_of(self, number: int) -> str | None:
        """Return the word for a number, the default for the unspecified one.

        Raises:
            ValueError: The number is not known.
        """
        if number == _UNSPECIFIED:
            return self.default
        for word, known in self.numbers.items():
            if known == number:
                return word
        raise ValueError(f"{number} is not known")

    def number_of(self, word: str) -> Any:
        """Return the number for a word, typed as the enum's own.

        Raises:
            KeyError: The word is not known.
        """
        return self.numbers[word]


@dataclass(frozen=True)
class Oneof:
    """A oneof of the API whose fields are messages.

    Args:
        message: Type of the message with the oneof.
        name: Name of the oneof.
        default: Name of the field that is meant if none is set.
    """

    message: type[Message]
    name: str
    default: str

    @property
    def words(self) -> Sequence[str]:
        """Names of the fields, in the order of their numbers."""
        return [field.name for field in self.message.DESCRIPTOR.oneofs_by_name[self.name].fields]

    def word_of(self, message: Message) -> str:
        """Return the name of the field that is set, or the default."""
        return message.WhichOneof(self.name) or self.default


FRAMING = Words(pb.Framing, "auto")
LOCAL_MOVE = Oneof(pb.EacpsSettings, "local_move", "spherical")
LOW_DIVERSITY = Words(pb.LowDiversity)
MISSING_SCORES = Words(pb.MissingScores, "lower_bound")
MOVE = Words(pb.Move)
PRIOR_MODE = Words(pb.PriorMode)
ROUND_KIND = Words(pb.RoundKind)
SCALARIZATION = Words(pb.Scalarization, "weighted_sum")
SEARCH_STATE = Words(pb.SearchState)
STOP_REASON = Words(pb.StopReason)
STRATEGY = Oneof(pb.SearchSettings, "strategy", "eacps_adaptive")
