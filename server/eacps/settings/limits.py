"""Limits of a server, in total and per tenant."""

from dataclasses import dataclass

from eacps.settings.reader import Reader, positive, rate, share

_MIB = 2**20


@dataclass(frozen=True)
class LimitSettings:
    """Limits of one search server. Calls beyond them are refused at once, with a hint when to try again.

    Args:
        calls_per_second: Of one tenant: requests for searches, and calls that make or take in pictures; None for no
            limit.
        reads_per_second: Of one tenant, all other calls; None for no limit.
        all_calls_per_second, all_reads_per_second: The same for all tenants together.
        streams: Searches that are watched or waited for, at once.
        pictures: Calls for priors, candidates or scores, at once.
        uploads: Uploads that are checked and stored at once.
        downloads: Downloads at once.
        tenant_share: The part of each of these that one tenant may have, in (0, 1].
        uploaded_bytes: Of all uploads together, while they come in.
        decoded_bytes: Of all pictures together that calls hold decoded.
    """

    calls_per_second: float | None = 100.0
    reads_per_second: float | None = 200.0
    all_calls_per_second: float | None = 200.0
    all_reads_per_second: float | None = 400.0
    streams: int = 2000
    pictures: int = 16
    uploads: int = 16
    downloads: int = 64
    tenant_share: float = 0.75
    uploaded_bytes: int = 512 * _MIB
    decoded_bytes: int = 1024 * _MIB


def limit_settings_of(reader: Reader) -> LimitSettings:
    """Read ``EACPS_CALLS_PER_SECOND`` and what goes with it."""
    own = LimitSettings
    return own(
        calls_per_second=reader.get("EACPS_CALLS_PER_SECOND", rate, own.calls_per_second),
        reads_per_second=reader.get("EACPS_READS_PER_SECOND", rate, own.reads_per_second),
        all_calls_per_second=reader.get("EACPS_ALL_CALLS_PER_SECOND", rate, own.all_calls_per_second),
        all_reads_per_second=reader.get("EACPS_ALL_READS_PER_SECOND", rate, own.all_reads_per_second),
        streams=reader.get("EACPS_MAX_STREAMS", positive, own.streams),
        pictures=reader.get("EACPS_MAX_PICTURE_CALLS", positive, own.pictures),
        uploads=reader.get("EACPS_MAX_UPLOADS", positive, own.uploads),
        downloads=reader.get("EACPS_MAX_DOWNLOADS", positive, own.downloads),
        tenant_share=reader.get("EACPS_TENANT_SHARE", share, own.tenant_share),
        uploaded_bytes=reader.get("EACPS_UPLOADED_BYTES", positive, own.uploaded_bytes),
        decoded_bytes=reader.get("EACPS_DECODED_BYTES", positive, own.decoded_bytes),
    )
