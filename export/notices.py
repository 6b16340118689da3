"""Notes to the user about a repository: what is left out, what scores mean, and who may use it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from eacps.licenses import business_use
from export.calibration import HELD_OUT, IDENTITY, NOT_MEASURED, SCORERS, in_words
from export.prepared import PreparedCheckpoint


def notices(prepared: PreparedCheckpoint) -> list[str]:
    """Return lines to print, after a plan as after an export."""
    found = []
    if prepared.faces.swapper is None:
        found.append("no face swapper (--swapper): priors are made without a face swap")
    if not prepared.backbone.answers_questions:
        found.append("no judge: the scorers realism and prompt are not offered")
    return [*found, *_calibration(prepared), str(business_use(prepared.licenses))]


def _calibration(prepared: PreparedCheckpoint) -> Iterator[str]:
    left_out = defaultdict(list)
    for name, reason in prepared.calibration.left_out.items():
        left_out[reason].append(name)
    for reason, names in left_out.items():
        yield f"calibration of {in_words(names)} left out: {reason}"
    known = prepared.calibration.data.get(SCORERS, {})
    raw = [IDENTITY] if IDENTITY not in known else []
    if prepared.faces.verifier is not None and HELD_OUT not in known:
        raw.append(HELD_OUT)
    if raw:
        yield f"{' and '.join(raw)} {NOT_MEASURED} on these networks: raw cosines count (python -m export.calibrate)"
