"""The provenance that is added to delivered files, from settings."""

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from functools import partial

from eacps.provenance import (
    Credentials,
    Identity,
    IngredientWorkers,
    Marking,
    RecordMode,
    read_identity,
    self_made_identity,
)
from eacps.settings.provenance import ProvenanceSettings

_log = logging.getLogger(__name__)


def marking_of(settings: ProvenanceSettings, stack: ExitStack | AsyncExitStack) -> Marking:
    """Return what marks delivered files.

    Args:
        settings: What they are to say.
        stack: Ends the process that reads scenes for their credentials.

    Raises:
        InvalidRequest: The certificate or its key cannot be used.
    """
    mode = RecordMode(settings.record)
    if not settings.signed:
        _log.warning("delivered pictures are not signed (EACPS_CREDENTIALS=off)")
        return Marking(None, mode)
    make: Callable[[], Identity] = self_made_identity
    if settings.certificate is not None and settings.key is not None:
        make = partial(read_identity, settings.certificate, settings.key)
    else:
        _log.warning("delivered pictures are signed with a self-made certificate; set EACPS_CREDENTIALS_CERTIFICATE")
    identity = make()
    scenes = stack.enter_context(IngredientWorkers())
    credentials = Credentials(identity, renewed=make, read_scene=scenes.archive_of)
    credentials.check()
    return Marking(credentials, mode)
