"""What a scene becomes in the credentials of its result: an ingredient, with the credentials that it carries.

A scene is a stranger's file, and c2pa's library reads its container and its credentials. It does so here, in a process
of its own without the signer's key; what comes out is an archive that the signer adds.
"""

import io
import json
from types import TracebackType
from typing import Self

import c2pa

from eacps.errors import DecoderUnavailable
from eacps.processes import TaskFailed, WorkerEnded, WorkerPool, WorkerUnavailable

INGREDIENT_ID = "scene"
"""Name of the ingredient within the credentials."""
# A scene may name an address of its credentials: a server does not call addresses that strangers write into pictures.
SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
READING_TIMEOUT_S = 120.0
_INGREDIENT = {"title": "scene", "relationship": "parentOf", "instance_id": INGREDIENT_ID}
_MODULE = "eacps.provenance.ingredient_worker"


class UnusableScene(Exception):
    """A scene cannot become an ingredient: a phrase that continues its name."""


def archive_of(scene: bytes, kind: str) -> bytes:
    """Return a scene as an ingredient's archive, read within this process: for files that are trusted, and for tests.

    Args:
        scene: The file.
        kind: Its media type.

    Raises:
        UnusableScene: It or its credentials cannot be read.
    """
    archive = io.BytesIO()
    try:
        with (
            c2pa.Context(c2pa.Settings.from_dict(SETTINGS)) as context,
            c2pa.Builder(json.dumps({}), context) as builder,
        ):
            builder.add_ingredient(_INGREDIENT, kind, io.BytesIO(scene))
            builder.write_ingredient_archive(INGREDIENT_ID, archive)
    except c2pa.C2paError as exc:
        raise UnusableScene(f"cannot be read: {exc}") from exc
    return archive.getvalue()


class IngredientWorkers:
    """Reads scenes as `archive_of` does, in a process of its own. Any thread may ask."""

    def __init__(self, *, timeout_s: float = READING_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self.pool = WorkerPool(_MODULE, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.close()

    def archive_of(self, scene: bytes, kind: str) -> bytes:
        """Return a scene as an ingredient's archive.

        Raises:
            UnusableScene: It or its credentials cannot be read, or reading them takes too much.
            DecoderUnavailable: The process was killed, or cannot be started.
        """
        try:
            _, (archive,) = self.pool.ask({"kind": kind}, [scene], timeout_s=self._timeout_s)
        except (TaskFailed, WorkerEnded) as exc:
            raise UnusableScene(str(exc)) from exc
        except WorkerUnavailable as exc:
            raise DecoderUnavailable(str(exc)) from exc
        return bytes(archive)
