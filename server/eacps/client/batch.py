"""Many searches as one piece of work, which may be interrupted and taken up again at any moment.

Every shot is asked for under a name made of its content, so that it is searched once, however often the batch is run. A
journal in the batch's folder says what was reached; what it says to be done is not asked for again.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import grpc

from eacps.client.aio import AsyncClient
from eacps.client.batch_files import DEFAULT_NAME, BatchFiles
from eacps.client.batch_journal import CANCELLED, FAILED, SUBMITTED, SUCCEEDED, Journal, ShotEntry
from eacps.client.batch_lock import alone_in
from eacps.client.batch_results import CSV, PARQUET, candidate_rows, foreign_results, write_results
from eacps.client.errors import CallFailed, ClientClosed, InvalidBatch, Violation
from eacps.client.record import SearchRecord
from eacps.client.shots import Shot, named_by_content, request_id_of
from eacps.limits import RANGES
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import images_in

FOLLOWED = 8
"""Searches that are followed at once, the oldest shots first; the others run on the server unwatched."""
_FULL_PAUSE_S = 2.0
_LABEL = "shot"
_PRIORITY = RANGES["priority"]
"""Of the first shot, which is the default of all searches, and of the last: the first are to be finished first."""
_OVER = (pb.SEARCH_STATE_FAILED, pb.SEARCH_STATE_CANCELLED)


@dataclass(frozen=True)
class ShotStatus:
    """Where a shot stands, for whoever watches a batch.

    Args:
        shot: Which.
        state: waiting, submitted, running, succeeded, failed or cancelled.
        done: Cost so far in whole trajectories, and the ``planned`` one; 0 where that is not known yet.
        best: Highest potential so far; None while there is none.
        entry: What is recorded of it; None before its search exists.
    """

    shot: Shot
    state: str
    done: int = 0
    planned: int = 0
    best: float | None = None
    entry: ShotEntry | None = None


class AsyncBatch:
    """Searches over a list of shots.

    Args:
        client: Reaches the server.
        shots: In order of importance: the first are submitted, and finished, first.
        folder: For the pictures, ``batch.jsonl`` (what was reached) and ``results.parquet`` (every candidate with its
            scores and recipe; ``results.csv`` where pyarrow is not installed).
        name: Of a picture's file within the folder; see `BatchFiles`.
        top: How many candidates of each shot are written, best first.
        overwrite: Whether files that are there already, with another content, are replaced.
        watch: Called with every change.
    """

    def __init__(
        self,
        client: AsyncClient,
        shots: Sequence[Shot],
        folder: Path,
        *,
        name: str = DEFAULT_NAME,
        top: int = 1,
        overwrite: bool = False,
        watch: Callable[[ShotStatus], None] | None = None,
    ) -> None:
        self._client, self._shots, self._folder, self._overwrite = client, tuple(shots), folder, overwrite
        self._files = BatchFiles(client, folder, name, top=top, overwrite=overwrite)
        self._report = watch or (lambda _: None)
        self._journal = Journal(folder)
        self._indices = {shot.name: index for index, shot in enumerate(self._shots)}
        self._followed = asyncio.Semaphore(FOLLOWED)
        self._progress = asyncio.Event()

    async def run(self) -> list[ShotEntry]:
        """Search for what is missing, and write its pictures and the table of all candidates.

        Returns:
            What became of every shot, in their order. A shot that failed keeps none of the others from being done.

        Raises:
            InvalidBatch: Before anything runs: names every violation of every shot.
            BatchRunning: Another batch is running in the folder.
            CallFailed: The server was unavailable for too long. Run the batch again when it is back.
            OSError: A file cannot be written.
        """
        with alone_in(self._folder):
            self._journal = Journal(self._folder)  # anew: another batch may have gone on since
            return await self._run()

    async def _run(self) -> list[ShotEntry]:
        self._check_names()
        missing = [shot for shot in self._shots if not self._is_done(shot)]
        for shot in self._shots:
            self._report(ShotStatus(shot, "waiting", entry=self._journal.entry(shot.key)))
        unasked = [shot for shot in missing if not self._is_submitted(shot)]
        await self._validate(unasked)
        try:
            async with asyncio.TaskGroup() as group:
                submitted = {shot.key: asyncio.Event() for shot in unasked}
                group.create_task(self._submit_all(unasked, submitted))
                for shot in missing:
                    group.create_task(self._finish(shot, submitted.get(shot.key)))
        except* (CallFailed, OSError) as failures:
            raise _first_of(failures) from failures
        entries = self.entries()
        if missing or not any((self._folder / name).exists() for name in (PARQUET, CSV)):
            named = {shot.name for shot in self._shots}
            others = [entry for entry in self._journal.entries() if entry.shot not in named]
            write_results([*entries, *others], self._folder)
        return entries

    def entries(self) -> list[ShotEntry]:
        """Return what is recorded of the shots that were asked for, in their order."""
        found = (self._journal.entry(shot.key) for shot in self._shots)
        return [entry for entry in found if entry is not None]

    async def cancel(self) -> None:
        """Cancel the searches of the batch that are not over."""
        for entry in self.entries():
            if entry.state == SUBMITTED:
                await self._cancel(entry)

    async def _cancel(self, entry: ShotEntry) -> None:
        """Cancel a search; one that ended by itself stays as it is, to be read by the next run."""
        try:
            search = await self._client.cancel(entry.search_id)
        except ClientClosed:
            raise
        except CallFailed as exc:
            if exc.temporary:
                raise
            self._journal.record(replace(entry, state=FAILED, reason=exc.code.name, failure=exc.message))
            return
        if search.state == pb.SEARCH_STATE_CANCELLED:
            self._journal.record(replace(entry, state=CANCELLED, reason="CANCELLED", failure="cancelled"))

    def _check_names(self) -> None:
        seen: set[str] = set()
        violations = [*self._files.violations([shot.name for shot in self._shots])]
        for shot in self._shots:
            if shot.name in seen:
                violations.append(Violation(shot.name, "is the name of two shots"))
            seen.add(shot.name)
        if not self._overwrite and (foreign := foreign_results(self._folder)) is not None:
            text = f"exists in {self._folder} and is not of a batch; say --overwrite"
            violations.append(Violation(foreign.name, text))
        if violations:
            raise InvalidBatch(violations)

    def _is_done(self, shot: Shot) -> bool:
        entry = self._journal.entry(shot.key)
        return entry is not None and entry.state == SUCCEEDED and self._files.are_there(entry)

    def _is_submitted(self, shot: Shot) -> bool:
        entry = self._journal.entry(shot.key)
        return entry is not None and entry.state in (SUBMITTED, SUCCEEDED)

    async def _validate(self, shots: Sequence[Shot]) -> None:
        """Upload every picture once, and have the server check every request."""
        violations: list[Violation] = []
        uploaded: dict[str, Sequence[Violation]] = {}
        for shot in shots:
            found = [
                Violation(path, one.description)
                for path, image in images_in(shot.request)
                if image.data or image.artifact in shot.files
                for one in await self._uploaded(image, shot.files, uploaded)
            ]
            violations += [_of(shot, one) for one in found or await self._refused(shot)]
        if violations:
            raise InvalidBatch(violations)

    async def _refused(self, shot: Shot) -> Sequence[Violation]:
        """Return what the server finds wrong with a request."""
        try:
            await self._client.validate(self._asked(shot, 1))
        except CallFailed as exc:
            if exc.code is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            return exc.violations
        return ()

    async def _uploaded(
        self, image: pb.Image, files: Mapping[str, Path], known: dict[str, Sequence[Violation]]
    ) -> Sequence[Violation]:
        """Upload a picture that was not uploaded before; return what is wrong with it."""
        digest = image.artifact or named_by_content(pb.RunSearchRequest(scene=image)).scene.artifact
        if digest not in known:
            data = image.data or await asyncio.to_thread(files[digest].read_bytes)
            if not image.data and hashlib.sha256(data).hexdigest() != digest:
                return (Violation("", f"{files[digest]} has changed while it was read; run the batch again"),)
            try:
                await self._client.upload(data)
                known[digest] = ()
            except CallFailed as exc:
                if exc.code is not grpc.StatusCode.INVALID_ARGUMENT:
                    raise
                known[digest] = exc.violations or (Violation("", exc.message),)
        return known[digest]

    def _asked(self, shot: Shot, attempt: int) -> pb.RunSearchRequest:
        request = named_by_content(shot.request)
        if not request.HasField("priority"):
            request.priority = int(min((_PRIORITY.default or 0) + self._indices[shot.name], _PRIORITY.most))
        if _LABEL not in request.labels:
            request.labels[_LABEL] = shot.name
        request.request_id = request_id_of(shot, request, attempt)
        return request

    async def _submit_all(self, shots: Sequence[Shot], submitted: Mapping[str, asyncio.Event]) -> None:
        for shot in shots:
            await self._submit(shot)
            submitted[shot.key].set()

    async def _submit(self, shot: Shot) -> None:
        """Ask for a shot; where its search of before failed, or was cancelled, for another one."""
        before = self._journal.entry(shot.key)
        attempt = 1 if before is None else before.attempt + (before.state in (FAILED, CANCELLED))
        entry = ShotEntry(shot.key, shot.name, "", FAILED, attempt)
        try:
            search = await self._accepted(shot, attempt)
            while search.state in _OVER:  # of a run whose journal is lost
                attempt += 1
                search = await self._accepted(shot, attempt)
            entry = replace(entry, search_id=search.search_id, state=SUBMITTED, attempt=attempt)
        except ClientClosed:
            raise
        except CallFailed as exc:
            if exc.temporary:
                raise
            entry = replace(entry, reason=exc.code.name, failure=exc.message)
        self._journal.record(entry)
        self._report(ShotStatus(shot, entry.state, entry=entry))

    async def _accepted(self, shot: Shot, attempt: int) -> pb.Search:
        """Submit, again and again while the server has as many searches as it allows."""
        while True:
            try:
                return await self._client.submit(self._asked(shot, attempt))
            except CallFailed as exc:
                if exc.code is not grpc.StatusCode.RESOURCE_EXHAUSTED or not exc.temporary:
                    raise
                self._progress.clear()
                try:
                    await asyncio.wait_for(self._progress.wait(), exc.retry_after_s or _FULL_PAUSE_S)
                except TimeoutError:
                    continue

    async def _finish(self, shot: Shot, submitted: asyncio.Event | None) -> None:
        """Follow a shot's search to its end, and write its files."""
        if submitted is not None:
            await submitted.wait()
        async with self._followed:
            entry = self._journal.entry(shot.key)
            if entry is None or entry.state not in (SUBMITTED, SUCCEEDED):
                return
            if entry.state == SUBMITTED:
                entry = await self._followed_to_its_end(shot, entry)
            self._journal.record(entry)  # before its files: what was found is not looked for again
            if entry.state == SUCCEEDED:
                entry = await self._written(entry)
                self._journal.record(entry)
            self._progress.set()
            best = entry.candidates[0]["potential"] if entry.candidates else None
            done = len(entry.candidates)
            self._report(ShotStatus(shot, entry.state, done, done, best, entry))

    async def _written(self, entry: ShotEntry) -> ShotEntry:
        """Write a shot's files; where the server has its pictures no more, it is to be searched again."""
        try:
            return await self._files.written(entry)
        except ClientClosed:
            raise
        except CallFailed as exc:
            if exc.temporary:
                raise
            return replace(entry, state=FAILED, reason=exc.code.name, failure=exc.message)

    async def _followed_to_its_end(self, shot: Shot, entry: ShotEntry) -> ShotEntry:
        record = SearchRecord()
        try:
            async with aclosing(self._client.watch(entry.search_id)) as events:
                async for event in events:
                    if event.HasField("failed"):
                        return replace(entry, state=FAILED, reason=event.failed.reason, failure=event.failed.message)
                    if event.HasField("cancelled"):
                        return replace(entry, state=CANCELLED, reason="CANCELLED", failure="the search was cancelled")
                    record.add(event)
                    self._report(_status(shot, record, entry))
        except CallFailed as exc:
            if exc.code is not grpc.StatusCode.NOT_FOUND:
                raise
            gone = "its search was deleted; run the batch again"
            return replace(entry, state=FAILED, reason=exc.code.name, failure=gone)
        if record.finished is None or not record.finished.best_candidate_id:
            return replace(entry, state=FAILED, reason="NO_CANDIDATE", failure="its budget allowed no candidate")
        best, delivered = record.finished.best_candidate_id, record.finished.delivered.artifact
        rows = candidate_rows(record.complete())
        return replace(entry, state=SUCCEEDED, best=best, delivered=delivered, candidates=rows)


def _status(shot: Shot, record: SearchRecord, entry: ShotEntry) -> ShotStatus:
    planned = 0 if record.started is None else record.started.planned_candidates
    return ShotStatus(shot, "running", round(record.spent), planned, record.best_potential, entry)


def _of(shot: Shot, violation: Violation) -> Violation:
    field = violation.field.removeprefix("search.")  # the field of CreateSearchRequest
    return Violation(f"{shot.name}: {field}", violation.description)


def _first_of(group: BaseExceptionGroup[Exception]) -> Exception:
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
