"""What a delivered file says of how it was made.

record         IPTC's source type and a record, in an XMP packet
certificates   who signs
ingredients    what a scene becomes in its result's credentials, read in a process of its own
credentials    C2PA content credentials
marking        what the operator wants of these
"""

from eacps.provenance.certificates import Identity, read_identity, self_made_identity
from eacps.provenance.credentials import Credentials
from eacps.provenance.ingredients import IngredientWorkers
from eacps.provenance.marking import Marking, RecordMode
from eacps.provenance.record import SOURCE_TYPE, may_hold_record, packet_of, read_record, scanned_records

__all__ = [
    "SOURCE_TYPE",
    "Credentials",
    "Identity",
    "IngredientWorkers",
    "Marking",
    "RecordMode",
    "may_hold_record",
    "packet_of",
    "read_identity",
    "read_record",
    "scanned_records",
    "self_made_identity",
]
