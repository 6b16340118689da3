"""Warnings of the libraries that read weights: what they only warn of may be a wrong model, so it is an error here."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = ("diffusers", "transformers", "peft", "accelerate")


@contextmanager
def heard_warnings() -> Iterator[list[str]]:
    """Collect what the libraries warn of, by Python's warnings and by their loggers, while the block runs.

    The messages are in the list when the block is left; they are not printed as well.
    """
    messages: list[str] = []
    listener = _Listener(messages)
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    earlier = [(logger.level, logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
        logger.handlers, logger.propagate = [listener], False
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield messages
        messages += [str(one.message) for one in caught]
    finally:
        for logger, (level, handlers, propagate) in zip(loggers, earlier, strict=True):
            logger.setLevel(level)
            logger.handlers, logger.propagate = handlers, propagate


class _Listener(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())
