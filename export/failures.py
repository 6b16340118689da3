"""Failures that whoever exports can mend: their message is all there is to say."""

from eacps.models.facts import UnsupportedCheckpoint
from export.estimates import NotEnough
from export.face_pack import IncompleteFacePack
from export.lora import UnusableLora
from export.models import IncompleteCheckpoint
from export.networks.faces import UnsupportedFacePack
from export.parity import ParityFailed
from export.targets import TargetUnavailable
from export.workshop import InUse, NotARepository

FAILURES = (
    InUse,
    IncompleteCheckpoint,
    IncompleteFacePack,
    NotARepository,
    NotEnough,
    ParityFailed,
    TargetUnavailable,
    UnsupportedCheckpoint,
    UnsupportedFacePack,
    UnusableLora,
    ValueError,  # an option out of range
)
