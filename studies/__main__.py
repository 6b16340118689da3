"""Run the study: ``python -m studies``. Cut off, it goes on where it was."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from eacps.errors import EacpsError
from studies.analysis.comparison import REFERENCE_BUDGET
from studies.contenders import BUDGETS, DRAFT_SHARES, families
from studies.oracle import UnscoredError
from studies.pool import OtherWeightsError
from studies.rivals.settings import DraftFit
from studies.study import NOISES, Paths, Size, run

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Read the command line and run; 1 where Triton or a scorer failed."""
    parser = argparse.ArgumentParser(description="Compare search strategies on studio-mini at equal cost.")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "studio_mini" / "checkpoint")
    parser.add_argument("--model-repository", type=Path, default=ROOT / ".build" / "model_repository")
    parser.add_argument("--work-dir", type=Path, default=ROOT / ".build" / "study", help="journal of scores, log")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "study", help="tables and plots")
    parser.add_argument("--pool", type=Path, default=ROOT / "studies" / "pool.csv.gz", help="published scores")
    parser.add_argument("--tasks", type=int, default=100, help="that are compared on")
    parser.add_argument("--tuned", type=int, default=32, help="that settings are chosen on")
    parser.add_argument("--fresh", type=int, default=128, help="seeds of best-of-N's curve")
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS), choices=BUDGETS)
    parser.add_argument("--noises", type=float, nargs="*", default=list(NOISES), help="of verifiers, in sd")
    parser.add_argument("--contenders", nargs="+", default=[], help="compared beside best-of-N [default: all]")
    parser.add_argument("--without-character", action="store_true", help="show the backbone the prior alone")
    parser.add_argument("--tune-only", action="store_true", help="measure landscape and restarts, then stop")
    arguments = parser.parse_args()
    if arguments.fresh < max(REFERENCE_BUDGET, *arguments.budgets):
        parser.error(f"--fresh: fewer than the largest budget, or than {REFERENCE_BUDGET}")
    named = tuple(arguments.contenders)
    try:
        families(dict.fromkeys(DRAFT_SHARES, DraftFit(1.0, 1.0)), named)
    except ValueError as exc:
        parser.error(f"--contenders: {exc}")
    budgets, noises = tuple(sorted(arguments.budgets)), tuple(arguments.noises)
    size = Size(arguments.tasks, arguments.tuned, arguments.fresh, budgets, noises, contenders=named)
    paths = Paths(arguments.checkpoint, arguments.model_repository, arguments.work_dir, arguments.out, arguments.pool)
    running = run(paths, size, shows_character=not arguments.without_character, tune_only=arguments.tune_only)
    try:
        asyncio.run(running)
    except ExceptionGroup as group:  # of the tasks that ran side by side
        failures, others = group.split((EacpsError, UnscoredError))
        if others is not None or failures is None:
            raise
        return _failed(failures.exceptions[0])
    except (EacpsError, OtherWeightsError, UnscoredError) as exc:
        return _failed(exc)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _failed(exc: Exception) -> int:
    print(f"failed: {exc}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
