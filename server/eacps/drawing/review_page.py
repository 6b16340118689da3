"""A self-contained HTML page to compare, weigh and pick pictures of searches."""

import base64
import html
import io
import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from PIL import Image

from eacps.client.record import CandidateRecord, ScoredPicture, SearchRecord, proposed
from eacps.imaging import TRUSTED, decode_picture

LARGEST_SIDE = 1024
_QUALITY = 90


@dataclass(frozen=True)
class ReviewedSearch:
    """A search and the pictures that a page shows of it.

    Args:
        record: Its events so far, the last one not required.
        search_id: Names it.
        shot: Its name in a batch, or empty.
        state: In a word.
        prompt: What it was asked for.
        method: How its scores are put together: weighted_sum, geometric_mean or rank_sum.
        drops_incomplete: Whether candidates that lack a weighted score are not ranked.
        pictures: Pictures, as `embedded` returns them, by what they are, in order: scene, character, prior, result.
        candidates: Likewise by candidate; those without are left out of the page.
    """

    record: SearchRecord
    search_id: str
    shot: str
    state: str
    prompt: str
    method: str
    drops_incomplete: bool
    pictures: Mapping[str, str]
    candidates: Mapping[str, str]


def render_review(searches: Sequence[ReviewedSearch]) -> str:
    """Return the page.

    Args:
        searches: At least one; with several, the reader chooses from a list.
    """
    files = resources.files("eacps.drawing") / "review"
    # Within a script element only "<" could end it, or begin a comment.
    data = json.dumps([_data_of(one) for one in searches], ensure_ascii=False).replace("<", "\\u003c")
    title = searches[0].prompt if len(searches) == 1 else f"{len(searches)} shots"
    return string.Template((files / "page.html").read_text("utf-8")).substitute(
        title=html.escape(f"Review: {title}"),
        style=(files / "page.css").read_text("utf-8"),
        objective=(files / "objective.js").read_text("utf-8"),
        search_plot=(files / "search_plot.js").read_text("utf-8"),
        script=(files / "page.js").read_text("utf-8"),
        data=data,
    )


def _data_of(search: ReviewedSearch) -> dict[str, Any]:
    started, finished = search.record.started, search.record.finished
    scorers = () if started is None else started.scorers
    return {
        "id": search.search_id,
        "shot": search.shot,
        "state": search.state,
        "prompt": search.prompt,
        "method": search.method,
        "drops_incomplete": search.drops_incomplete,
        "checkpoint": "" if started is None else started.checkpoint,
        "steps": 0 if started is None else started.steps,
        "best": finished.best_candidate_id if finished is not None and finished.best_candidate_id else None,
        "scorers": [
            {
                "name": one.name,
                "weight": one.weight,
                "floor": one.floor if one.HasField("floor") else None,
                "held_out": one.held_out,
                "question": one.question if one.HasField("question") else "",
            }
            for one in scorers
        ],
        "titles": {"prior": _prior_title(search.record)},
        "pictures": dict(search.pictures),
        "candidates": [
            _candidate(one, search.candidates[one.id])
            for one in proposed(search.record.candidates)
            if one.id in search.candidates
        ],
    }


def _candidate(candidate: CandidateRecord, picture: str) -> dict[str, Any]:
    evaluation = candidate.evaluation
    return {
        "id": candidate.id,
        "move": candidate.move,
        "parents": list(candidate.parents),
        "seeds": [*(seed for seed, _ in candidate.recipe), *(seed for _, seed in candidate.restarts)],
        "spent": candidate.spent,
        "artifact": candidate.artifact,
        "scores": {} if evaluation is None else dict(evaluation.scores),
        "missing": {} if evaluation is None else dict(evaluation.missing),
        "saturated": [] if evaluation is None else list(evaluation.saturated),
        "raw": {} if evaluation is None else dict(evaluation.raw),
        "picture": picture,
    }


def _prior_title(record: SearchRecord) -> str:
    if record.prior is None:
        return "prior"
    potential = ScoredPicture.from_message(record.prior.evaluation).potential
    return "prior" if potential is None else f"prior, {potential:.3f}"


def embedded(data: bytes) -> str:
    """Return an encoded picture as the address of itself: upright, in sRGB, no larger than a screen.

    It is a small part of a large file: whoever makes a page of many searches converts each picture as it comes.

    Raises:
        InvalidPicture: It cannot be decoded.
    """
    picture = Image.fromarray(decode_picture(data, TRUSTED))
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    picture.save(encoded, "WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode()}"
