"""Settings of the store: where searches are kept, and for how long."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from eacps.settings.reader import Reader, duration_s, folder_or_url, positive

DAY_S = 86400.0
DEFAULT_FOLDER = Path("eacps-data")
_GIB = 2**30


@dataclass(frozen=True)
class StoreSettings:
    """Storage of durable searches.

    Args:
        folder: Folder for databases and pictures that are not stored elsewhere.
        database: ``postgresql://...``, for several servers; None keeps SQLite files in ``folder``. Never logged.
        artifacts: Folder or URL (``s3://``, ``gs://``, ``az://``) of the pictures; None keeps them in ``folder``.
        claim_patience_s: How long to wait at the start for another server with the same name to end.
        executor_id: Name of this server among those that share the database. It must be the same after a restart.
        max_everywhere: Searches that run at once on all of them; None for no bound but theirs.
        max_per_tenant: Searches of one tenant that run at once; None for no bound.
        max_unfinished: Searches that run or wait; further ones are refused with a hint to try again.
        max_unfinished_per_tenant: The same of one tenant.
        keep_s: Seconds for which a search is kept after its end.
        keep_uploads_s: Seconds for which an uploaded picture is kept that no search refers to.
        keep_bytes: If all pictures together take more, the oldest searches are deleted early.
        sweep_s: Seconds between two clean-ups.
    """

    folder: Path = DEFAULT_FOLDER
    database: str | None = field(default=None, repr=False)
    artifacts: str | None = None
    executor_id: str = "local"
    claim_patience_s: float = 60.0
    max_everywhere: int | None = None
    max_per_tenant: int | None = None
    max_unfinished: int = 256
    max_unfinished_per_tenant: int = 64
    keep_s: float = 30 * DAY_S
    keep_uploads_s: float = DAY_S
    keep_bytes: int = 100 * _GIB
    sweep_s: float = 300.0


def store_of(reader: Reader) -> StoreSettings:
    """Read ``EACPS_DATA`` and the other settings of the store."""
    own = StoreSettings
    database = reader.get("EACPS_DATABASE", str, None)
    return own(
        folder=reader.get("EACPS_DATA", Path, own.folder),
        database=database,
        artifacts=reader.get("EACPS_ARTIFACTS", folder_or_url, None),
        # In a StatefulSet the host's name is the same again after a restart, and no other's.
        executor_id=reader.get("EACPS_EXECUTOR_ID", str, os.uname().nodename if database else own.executor_id),
        claim_patience_s=reader.get("EACPS_CLAIM_PATIENCE_S", duration_s, own.claim_patience_s),
        max_everywhere=reader.get("EACPS_MAX_SEARCHES_EVERYWHERE", positive, None),
        max_per_tenant=reader.get("EACPS_MAX_SEARCHES_PER_TENANT", positive, None),
        max_unfinished=reader.get("EACPS_MAX_UNFINISHED", positive, own.max_unfinished),
        max_unfinished_per_tenant=reader.get(
            "EACPS_MAX_UNFINISHED_PER_TENANT", positive, own.max_unfinished_per_tenant
        ),
        keep_s=reader.get("EACPS_KEEP_S", duration_s, own.keep_s),
        keep_uploads_s=reader.get("EACPS_KEEP_UPLOADS_S", duration_s, own.keep_uploads_s),
        keep_bytes=reader.get("EACPS_KEEP_BYTES", positive, own.keep_bytes),
        sweep_s=reader.get("EACPS_SWEEP_S", duration_s, own.sweep_s),
    )
