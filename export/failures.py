"""Failures that whoever exports can mend: their message is all there is to say."""

from google.protobuf.message import DecodeError

from eacps.models.facts import UnsupportedCheckpoint
from export.estimates import NotEnough
from export.face_pack import IncompleteFacePack
from export.lora import UnusableLora
from export.models import IncompleteCheckpoint
from export.networks.faces import UnsupportedFacePack
from export.parity import ParityFailed
from export.request import InvalidOption
from export.sources import MissingSource
from export.targets import EngineFailed, TargetUnavailable
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
    EngineFailed,
    OSError,  # no room, no right to write, no such file
    DecodeError,  # an ONNX file of a pack that is none
)
# Whoever asked for it can mend it by asking otherwise: exit code 2.
WRONG_OPTIONS = (InvalidOption, MissingSource)
