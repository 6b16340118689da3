"""The process that reads scenes for `eacps.provenance.ingredients.IngredientWorkers`."""

import sys
from collections.abc import Sequence
from typing import Any

from eacps.arrays import UInt8
from eacps.processes import Part
from eacps.processes.worker import allow, work
from eacps.provenance.ingredients import UnusableScene, archive_of

READING_PROCESSOR_S = 60
"""Processor time of one scene; one of 256 MiB is hashed in a second."""


def _done(request: dict[str, Any], parts: list[UInt8]) -> tuple[dict[str, Any], Sequence[Part]]:
    allow(READING_PROCESSOR_S)
    return {}, [archive_of(bytes(parts.pop(0)), request["kind"])]


if __name__ == "__main__":
    work(_done, UnusableScene, int(sys.argv[1]))
