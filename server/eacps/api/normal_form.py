"""The normal form of a request: what it means, however it is written. Requests mean the same if their forms are equal.

Settings that are left out have their default, empty messages are there, scorers are sorted. Defaults that depend on the
server or the checkpoint stay out, so that a request means the same before and after they change.
"""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from eacps import enums
from eacps.api.search_settings import low_diversity_of, parents_of, rounds_of
from eacps.enums import LOCAL_MOVE, LOW_DIVERSITY, STRATEGY, Words
from eacps.limits import RANGES
from eacps.search.defaults import DEFAULT_CROSSOVER, DEFAULT_RESTARTS
from eacps.v1 import search_service_pb2 as pb

_ENUMS = {
    table.enum.DESCRIPTOR: table.number_of(table.default)
    for table in vars(enums).values()
    if isinstance(table, Words) and table.default is not None
}
"""The default of every enum that has one."""
_ALWAYS = {message.DESCRIPTOR for message in (pb.SamplerSettings, pb.SearchSettings, pb.Budget)}
"""Messages of which an empty one means the same as none."""
_DOUBLES = {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}


def normal_form(request: pb.RunSearchRequest) -> pb.RunSearchRequest:
    """Return the normal form of a valid request. Whether its caller stays to watch is no part of it."""
    normal = pb.RunSearchRequest()
    normal.CopyFrom(request)
    normal.ClearField("detach")
    normal.DiscardUnknownFields()
    _choose(normal.search)
    _tidy(normal.search)
    _fill(normal, "")
    scorers = sorted(normal.scorers, key=lambda scorer: scorer.name)
    del normal.scorers[:]
    normal.scorers.extend(scorers)
    return normal


def _choose(search: pb.SearchSettings) -> None:
    """Fill in the choices, and the defaults that depend on other fields."""
    strategy = STRATEGY.word_of(search)
    getattr(search, strategy).SetInParent()
    if search.low_diversity == pb.LOW_DIVERSITY_UNSPECIFIED:
        search.low_diversity = LOW_DIVERSITY.number_of(low_diversity_of(search).value)
    if search.HasField("random_seed") and not search.HasField("first_seed"):
        search.first_seed = search.random_seed
    if search.HasField("eacps_adaptive"):
        adaptive = search.eacps_adaptive
        adaptive.rounds = rounds_of(adaptive)
        if not adaptive.HasField("crossover"):
            adaptive.crossover = DEFAULT_CROSSOVER
        if not adaptive.HasField("restarts"):
            adaptive.restarts = DEFAULT_RESTARTS
    if search.HasField("eacps"):
        getattr(search.eacps, LOCAL_MOVE.word_of(search.eacps)).SetInParent()
        search.eacps.parents = parents_of(search.eacps)


def _tidy(search: pb.SearchSettings) -> None:
    """Clear what the server sets itself, and sort what has no order."""
    for point in search.start:
        point.ClearField("known")
    avoided = sorted(set(search.avoided_seeds))
    del search.avoided_seeds[:]
    search.avoided_seeds.extend(avoided)


def _fill(message: Message, prefix: str) -> None:
    """Fill in the defaults of the tables, in a message and all within it."""
    for field in message.DESCRIPTOR.fields:
        path = f"{prefix}{field.name}"
        if field.message_type is not None:
            _fill_messages(message, field, path)
        elif field.enum_type is not None and not field.is_repeated and not getattr(message, field.name):
            setattr(message, field.name, _ENUMS.get(field.enum_type, 0))
        elif field.has_presence and not message.HasField(field.name):
            if path in RANGES and (default := RANGES[path].default) is not None:
                setattr(message, field.name, default)
        elif field.type in _DOUBLES and not field.is_repeated:
            setattr(message, field.name, getattr(message, field.name) + 0.0)  # -0.0 becomes 0.0


def _fill_messages(message: Message, field: Any, path: str) -> None:
    if field.message_type.GetOptions().map_entry:
        return
    if field.is_repeated:
        for one in getattr(message, field.name):
            _fill(one, f"{path}.")
        return
    if field.message_type in _ALWAYS:
        getattr(message, field.name).SetInParent()
    if message.HasField(field.name):
        _fill(getattr(message, field.name), f"{path}.")
