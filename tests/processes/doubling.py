"""A worker for tests: doubles arrays, and fails in every way that a worker may."""

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from eacps.arrays import UInt8
from eacps.processes import Part
from eacps.processes.worker import allow, work


class Refused(Exception):
    """A file is at fault."""


def done(request: dict[str, Any], parts: list[UInt8]) -> tuple[dict[str, Any], Sequence[Part]]:
    """Do what the request says."""
    match request["do"]:
        case "refuse":
            raise Refused("is green")
        case "fill":
            np.ones(2**40, np.uint8)
        case "crash":
            os.abort()
        case "hang":
            time.sleep(600)
        case "spin":
            allow(0)
            while True:
                pass
    return {"name": request["name"]}, [2 * parts[0], bytes(parts[1])]


if __name__ == "__main__":
    work(done, Refused, int(sys.argv[1]))
