"""Make a network in this process, or in a second one beside it, because exporting a graph uses a single core."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory

from eacps.manifest import ParityFigure
from export.estimates import available_memory, estimate, side_by_side, total
from export.jobs import NetworkJob, network_jobs
from export.noise import known_noise_hidden
from export.parity import check_parity
from export.prepared import prepare
from export.request import Ingredients
from export.targets import Target
from export.targets.target import Bench

Figures = tuple[ParityFigure, ...]


class ProcessDied(Exception):
    """The second process ended without an answer."""


class NetworkBeside:
    """A network that a second process makes. It starts at once and ends with the context, or with this process.

    Args:
        ingredients: Of the export.
        network: Its name.
        version: Its version folder.
        cache: See `export.targets.target.Bench`.
    """

    def __init__(self, ingredients: Ingredients, network: str, version: Path, cache: Path) -> None:
        self.network = network
        context = multiprocessing.get_context("spawn")
        self._results, sender = context.Pipe(duplex=False)
        arguments = (sender, ingredients, network, version, cache)
        self._process = context.Process(target=_make, args=arguments, daemon=True)
        self._process.start()
        sender.close()
        self.pid = self._process.pid or 0

    def figures(self) -> Figures:
        """Wait until the network is made, and return the figures of the parity gate.

        Raises:
            ProcessDied: The process ended before that.
            Exception: Whatever the export of the network raised.
        """
        try:
            result: Figures | Exception = self._results.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            raise ProcessDied(f"the process that made {self.network} ended with exit code {code}") from None
        if isinstance(result, Exception):
            raise result
        return result

    def __enter__(self) -> NetworkBeside:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, whatever it is doing."""
        self._process.terminate()
        self._process.join()
        self._results.close()


def network_beside(jobs: list[NetworkJob], target: Target) -> NetworkJob | None:
    """Return the largest network, to be made beside the others; None if it should be made after them.

    Args:
        jobs: Networks to be made.
        target: What they are made for. Engine builders time kernels, so they need the machine to themselves.
    """
    if target.fixed_shapes or len(jobs) < 2 or len(os.sched_getaffinity(0)) < 2:
        return None
    largest = max(jobs, key=lambda job: job.weights)
    others = total([estimate(job, target) for job in jobs if job is not largest])
    both = side_by_side(estimate(largest, target), others)
    return largest if both.memory < available_memory() else None


def make_network(job: NetworkJob, target: Target, bench: Bench) -> Figures:
    """Write a network for a target, compare it with its original, and return the figures of the parity gate.

    Raises:
        ParityFailed: It departs from its original.
    """
    network = job.load()
    answers = target.install(network, job.precision, bench)
    return tuple(check_parity(network, answers, job.precision, target.tolerance))


def _make(results: Connection, ingredients: Ingredients, network: str, version: Path, cache: Path) -> None:
    """Make one network in this process, and send its figures or what was raised."""
    # Ctrl-C reaches both processes; the parent handles it and ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        prepared = prepare(ingredients)
        job = next(job for job in network_jobs(prepared) if job.spec.name == network)
        # In the staging area, which is cleaned up even if this process is killed.
        with known_noise_hidden(), TemporaryDirectory(dir=version) as scratch:
            bench = Bench(version, Path(scratch), cache, job.profiles)
            figures = make_network(job, prepared.target, bench)
        results.send(figures)
    except Exception as error:
        results.send(error)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)
