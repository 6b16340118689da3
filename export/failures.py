"""Errors that the user can mend: the command prints their message alone, without a traceback."""

from eacps.models.checkpoint_config import UnsupportedCheckpoint
from export.calibration import UnusableCalibration
from export.checkpoint import IncompleteCheckpoint
from export.estimates import NotEnough
from export.face_pack import IncompleteFacePack, UnsupportedFacePack
from export.lock import InUse
from export.lora_file import UnusableLora
from export.making import ProcessDied
from export.operators import UnsupportedGraph
from export.parity import ParityFailed
from export.request import InvalidOption
from export.sources import MissingSource
from export.staging import NotARepository
from export.targets import EngineFailed, TargetUnavailable
from export.weight_files import UnusableWeights

FAILURES = (
    InUse,
    IncompleteCheckpoint,
    IncompleteFacePack,
    NotARepository,
    NotEnough,
    ParityFailed,
    ProcessDied,
    TargetUnavailable,
    UnsupportedCheckpoint,
    UnsupportedFacePack,
    UnsupportedGraph,
    UnusableCalibration,
    UnusableLora,
    UnusableWeights,
    EngineFailed,
    OSError,  # no room, no right to write, no such file
)
# Mended by other options: exit code 2.
WRONG_OPTIONS = (InvalidOption, MissingSource)
