"""Converts what the server offers and accepts to the message that describes it to clients."""

from eacps import limits
from eacps.api.validation import Rules
from eacps.enums import STRATEGY
from eacps.search.defaults import MAX_START_POINTS
from eacps.triton.types import ServedCheckpoint
from eacps.v1 import search_service_pb2 as pb

_OF_LISTS = "page_size"
"""The only range of a request that is not for a search."""


def capabilities_of(rules: Rules, checkpoint: ServedCheckpoint) -> pb.GetCapabilitiesResponse:
    """Return the message for what requests may ask for."""
    return pb.GetCapabilitiesResponse(
        checkpoint=_checkpoint(checkpoint),
        scorers=[
            pb.OfferedScorer(
                name=name,
                default_weight=rules.default_weights.get(name, 0.0),
                reported_by_default=name in rules.default_held_out,
            )
            for name in sorted(rules.scorers)
        ],
        judges=sorted(rules.judges),
        ranges=[
            pb.FieldRange(
                field=field,
                least=accepted.least,
                most=accepted.most,
                default_value=accepted.default,
                above_least=accepted.above,
            )
            for field, accepted in sorted(limits.RANGES.items())
            if field != _OF_LISTS
        ],
        limits=pb.RequestLimits(
            prompt_characters=limits.MAX_PROMPT_CHARACTERS,
            question_characters=limits.MAX_QUESTION_CHARACTERS,
            scorers=limits.MAX_SCORERS,
            more_characters=limits.MAX_MORE_CHARACTERS,
            start_points=MAX_START_POINTS,
            labels=limits.MAX_LABELS,
            label_key_characters=limits.MAX_LABEL_KEY_CHARACTERS,
            label_value_characters=limits.MAX_LABEL_VALUE_CHARACTERS,
            upload_bytes=rules.uploads.max_bytes,
        ),
        strategies=sorted(STRATEGY.words, key=lambda word: word != STRATEGY.default),
    )


def _checkpoint(served: ServedCheckpoint) -> pb.CheckpointInfo:
    return pb.CheckpointInfo(
        name=served.name,
        build=served.build,
        default_steps=served.default_steps,
        sizes=[
            pb.PictureSize(width=width, height=height)
            for width, height in served.sizes or ((served.width, served.height),)
        ],
        max_pictures=served.max_pictures,
        face_swap=served.face_swap,
        negative_prompts=served.negative_prompts,
        own_judge=served.own_judge,
    )
