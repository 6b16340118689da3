"""Options that an endpoint supports, learned from its answers.

Endpoints that speak one protocol differ: some refuse a temperature, some a limit on tokens, some give no
log-probabilities or take no JSON schema, some think before they answer and need room for it. Every option is therefore
a ladder of values, the best first, and a refusal or a unreadable moves one rung further:

- HTTP 4xx that names an option (`CallRefused`): its next value.
- HTTP 4xx that names none: the options that this endpoint never accepted before are left out one after the other.
- An answer that was cut off (`UnreadableReply`): more room. One that lacks log-probabilities: none are asked for.

All scorers of the endpoint share what was learned. The first call runs alone, so that an endpoint does not get sixteen
concurrent calls with options that it refuses.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from eacps.errors import ScorerFailed

Reply = TypeVar("Reply")


class Option(StrEnum):
    """An option of a call beside pictures and question."""

    SCHEMA = "schema"
    LOGPROBS = "logprobs"
    TEMPERATURE = "temperature"
    TOKEN_LIMIT = "token limit"
    BUDGET = "budget"
    INSTRUCTION = "instruction"


_NAMES = {
    Option.SCHEMA: r"response_?format|response_?schema|response_?mime_?type|json_schema|json_object|json mode|"
    r"structured[ _]outputs?|guided_\w+|grammar",
    Option.LOGPROBS: r"(?:top_|response_?)?log_?probs?|log[- ]probabilit\w+",
    Option.TEMPERATURE: r"temperature",
    Option.TOKEN_LIMIT: r"max_(?:completion_|new_|output_)?tokens|maxoutputtokens|maximum context length"
    r"|output limit|completion tokens",
    Option.INSTRUCTION: r"(?:developer|system)[ _]?(?:instruction|message|prompt|role)\w*|messages\[0\]\.role",
}
_ANY = re.compile("|".join(f"(?P<{option.name}>{names})" for option, names in _NAMES.items()), re.IGNORECASE)
_TOO_SMALL = re.compile(r"higher|at least|greater than|below|too (?:small|low)|was reached|increase", re.IGNORECASE)
_LEFT_OUT_FIRST = (Option.SCHEMA, Option.LOGPROBS, Option.TEMPERATURE, Option.TOKEN_LIMIT, Option.INSTRUCTION)


class CallRefused(Exception):
    """The endpoint refuses the call as it is.

    Args:
        reason: For the caller; quotes nothing from the endpoint.
        said: Message of the endpoint; only searched for names of options.
        parameter: Parameter that the endpoint names; empty if it names none.
    """

    def __init__(self, reason: str, *, said: str, parameter: str = "") -> None:
        super().__init__(reason)
        self.reason, self.said = reason, said
        self._searched = f"{parameter}\n{said}"

    def names(self, sent: Collection[Option]) -> Option | None:
        """Return the option that is at fault, the blamed one before any other; None if none of those sent is named."""
        named = (Option[match.lastgroup] for match in _ANY.finditer(self._searched) if match.lastgroup)
        return next((option for option in named if option in sent), None)


class UnreadableReply(ScorerFailed):
    """An answer from which nothing can be read, because of an option.

    Args:
        reason: What is wrong with it.
        option: Whose next value may help.
    """

    def __init__(self, reason: str, option: Option) -> None:
        super().__init__(reason)
        self.option = option


@dataclass(frozen=True)
class CallOptions:
    """The values with which an endpoint is asked.

    Args:
        ladders: Values of every option, the best first; the last is the one to go without.
        rungs: Index of the value of every option.
    """

    ladders: Mapping[Option, tuple[Any, ...]]
    rungs: Mapping[Option, int]

    def __getitem__(self, option: Option) -> Any:
        """Return the value of an option; None for one that this endpoint has not."""
        return self.ladders[option][self.rungs[option]] if option in self.ladders else None

    def after(self, option: Option) -> "CallOptions | None":
        """Return the options with the next value of an option; None if it has no further."""
        following = self.rungs.get(option, 0) + 1
        if following >= len(self.ladders.get(option, ())):
            return None
        return CallOptions(self.ladders, {**self.rungs, option: following})

    def without(self, option: Option) -> "CallOptions":
        """Return the options with the last value of an option."""
        return CallOptions(self.ladders, {**self.rungs, option: len(self.ladders[option]) - 1})


class EndpointOptions:
    """Those of one endpoint, shared by all scorers that ask it.

    Args:
        ladders: See `CallOptions`.
        sent: Returns the options that a call with these values carries, since some options replace others.
    """

    def __init__(
        self,
        ladders: Mapping[Option, tuple[Any, ...]],
        sent: Callable[[CallOptions], Collection[Option]] = lambda _: (),
    ) -> None:
        self.options = CallOptions(ladders, dict.fromkeys(ladders, 0))
        self._sent = sent
        self._accepted: set[tuple[Option, int]] = set()
        self._scored: set[tuple[Option, int]] = set()
        self._first = asyncio.Lock()
        self._known = False

    async def ask(
        self, call: Callable[[CallOptions], Awaitable[Reply]], read: Callable[[Reply, CallOptions], float]
    ) -> float:
        """Make one call, or as many as needed to find options that the endpoint accepts and that produce a score.

        Args:
            call: Makes a call; raises `CallRefused`.
            read: Reads its answer; raises `UnreadableReply`.

        Raises:
            CallRefused: The endpoint refuses the call with any options.
            ScorerFailed: No answer could be read.
        """
        async with self._first_alone():
            options, passing = self.options, set()  # type: CallOptions, set[Option]
            while True:
                try:
                    reply = await call(options)
                except CallRefused as refused:
                    options = self._spared(options, refused)
                    continue
                self._remember(options, passing)
                try:
                    score = read(reply, options)
                except UnreadableReply as unreadable:
                    option = unreadable.option
                    following = options.after(option)
                    if following is None:
                        raise
                    if (option, options.rungs[option]) in self._scored:
                        passing.add(option)  # it worked before: an exception, and nothing to remember
                    # An endpoint that gives no log-probabilities gives no fewer either; more room is worth each try.
                    options = following if option is Option.BUDGET else options.without(option)
                    continue
                self._scored |= set(options.rungs.items())
                return score

    def _spared(self, options: CallOptions, refused: CallRefused) -> CallOptions:
        """Return the options without what was refused.

        Raises:
            CallRefused: Nothing of what was sent can be to blame.
        """
        sent = self._sent(options)
        option = refused.names(sent)
        if option is Option.TOKEN_LIMIT and _TOO_SMALL.search(refused.said):
            option = Option.BUDGET if options.after(Option.BUDGET) else option
        if option is not None:
            following = options.after(option)
        else:
            new = (one for one in _LEFT_OUT_FIRST if one in sent and (one, options.rungs[one]) not in self._accepted)
            option = next(new, None)
            following = options.without(option) if option is not None else None
        if following is None:
            raise refused
        return following

    def _remember(self, options: CallOptions, passing: Collection[Option]) -> None:
        self._accepted |= {(option, options.rungs[option]) for option in self._sent(options)}
        known = self.options.rungs
        learned = {option: max(rung, known[option]) for option, rung in options.rungs.items() if option not in passing}
        self.options = CallOptions(options.ladders, {**known, **learned})

    @asynccontextmanager
    async def _first_alone(self) -> AsyncIterator[None]:
        """Make other calls wait until the first one has ended, whether it succeeded or failed."""
        async with AsyncExitStack() as stack:
            if not self._known:
                await stack.enter_async_context(self._first)
            if self._known:
                await stack.aclose()
            try:
                yield
            except asyncio.CancelledError:
                raise  # nothing is known yet: the next call is the first
            except BaseException:
                self._known = True
                raise
            self._known = True
