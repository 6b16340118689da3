"""Encode the state of a search as JSON and decode it. The strategy encodes its own part (`eacps.search.snapshots`).

The state has parts that change at different times: the checkpoint, recorded first; the prepared edit, recorded with the
prior; the strategy, recorded with every cohort; and the outcomes that it took in, each recorded once, with its cohort.
Reports of candidates are encoded one by one, without what the strategy's parts contain.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from eacps.arrays import Picture
from eacps.artifacts import ArtifactStore, get_mask, get_picture, get_vector
from eacps.evaluation.plan import Edit, Inputs, PriorMode
from eacps.evaluation.state import (
    Latents,
    PreparedSearch,
    Progress,
    Report,
    Reports,
    evaluation_of,
    report_of_failure,
    report_of_scores,
)
from eacps.scene.frame import Frame
from eacps.search import factory
from eacps.search.cohort import Candidate
from eacps.search.objective import Objective
from eacps.search.potential import ScoreCard
from eacps.search.strategy import Strategy
from eacps.triton.types import ServedCheckpoint

Json = dict[str, Any]
_OUTCOMES = "outcomes-"
"""Begins the names of parts that hold outcomes; the index of the first of these follows."""


def to_text(data: Any) -> str:
    """Encode JSON-able data."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def checkpoint_part(checkpoint: ServedCheckpoint) -> dict[str, str]:
    """Encode the part that is recorded first, by its name."""
    return {"checkpoint": to_text(asdict(checkpoint))}


def prepared_part(state: PreparedSearch) -> dict[str, str]:
    """Encode the part that does not change after the prior is made, by its name."""
    return {
        "prepared": to_text({"edit": _edit_to_json(state.edit), "prior": card_to_json(state.prior_evaluation.card)})
    }


def strategy_parts(state: PreparedSearch, *, recorded: int = 0) -> dict[str, str]:
    """Encode the parts that change with every cohort, by name: the strategy with the averaged scores, and new outcomes.

    Args:
        state: Of the search.
        recorded: How many outcomes of the strategy's history were recorded before. They are left out: what a search of
            thousands of candidates records in a round does not grow with its rounds.
    """
    averaged = {candidate_id: card_to_json(card) for candidate_id, card in state.reports.averaged.items()}
    snapshot = state.strategy.snapshot()
    outcomes = snapshot.pop("history")[recorded:]
    parts = {"strategy": to_text({"snapshot": snapshot, "averaged": averaged})}
    return parts | ({f"{_OUTCOMES}{recorded:06d}": to_text(outcomes)} if outcomes else {})


def checkpoint_in(progress: Progress) -> ServedCheckpoint:
    """Return the checkpoint that a search was begun with."""
    fields = json.loads(progress.parts["checkpoint"])
    sizes = tuple((width, height) for width, height in fields["sizes"])
    return ServedCheckpoint(**{**fields, "latent_shape": tuple(fields["latent_shape"]), "sizes": sizes})


def has_prior(progress: Progress) -> bool:
    """Return whether a search got as far as its prior."""
    return "prepared" in progress.parts


def strategy_in(progress: Progress) -> Strategy:
    """Return the strategy of a search that has a prior, as it was recorded last.

    That of thousands of candidates takes tenths of a second.
    """
    names = sorted(name for name in progress.parts if name.startswith(_OUTCOMES))
    history = [outcome for name in names for outcome in json.loads(progress.parts[name])]
    return factory.restore({**json.loads(progress.parts["strategy"])["snapshot"], "history": history})


async def restore_state(
    progress: Progress, strategy: Strategy, checkpoint: ServedCheckpoint, artifacts: ArtifactStore
) -> PreparedSearch:
    """Return the state of a search that has a prior.

    Args:
        progress: What was recorded of it.
        strategy: From `strategy_in`.
        checkpoint: From `checkpoint_in`.
        artifacts: Of the search.
    """
    prepared = json.loads(progress.parts["prepared"])
    edit = await _restore_edit(prepared["edit"], checkpoint, artifacts)
    prior = evaluation_of(card_from_json(prepared["prior"]), strategy.objective)
    reports = await asyncio.to_thread(reports_in, progress, strategy)
    return PreparedSearch(edit, prior, strategy, reports)


async def edit_in(progress: Progress, artifacts: ArtifactStore) -> Edit:
    """Return the edit of a search that has a prior.

    Args:
        progress: What was recorded of it.
        artifacts: Of the search.
    """
    return await _restore_edit(json.loads(progress.parts["prepared"])["edit"], checkpoint_in(progress), artifacts)


def reports_in(progress: Progress, strategy: Strategy) -> Reports:
    """Restore the reports: first those of the strategy's history, then those of the open cohort."""
    reports = Reports(strategy.objective)
    candidates = {candidate.id: candidate for candidate in candidates_of(strategy)}
    reports.propose(candidates.values())
    known = [
        _report_from_json(data, candidates[data["id"]], strategy.objective)
        for data in map(json.loads, progress.reports)
    ]
    closed = {one.candidate.id for one in strategy.history()}
    for report in known:
        if report.candidate.id in closed:
            reports.add(report)
    for candidate_id, card in _averaged_in(progress).items():
        reports.average(candidate_id, card)
    reports.set_best(strategy.best())
    for report in known:
        if report.candidate.id not in closed:
            reports.add(report)
    return reports


def scored_pictures_in(progress: Progress) -> dict[str, tuple[str, ScoreCard]]:
    """Return the artifact and the scores of every picture of a search that has a prior, by the candidate's id."""
    pictures = {
        data["id"]: (data["picture"], card_from_json(data["card"]))
        for data in map(json.loads, progress.reports)
        if data["picture"] is not None
    }
    for candidate_id, card in _averaged_in(progress).items():
        pictures[candidate_id] = pictures[candidate_id][0], card
    return pictures


def candidates_of(strategy: Strategy) -> Iterator[Candidate]:
    """Yield all candidates that a strategy has proposed, in that order."""
    yield from (one.candidate for one in strategy.history())
    if strategy.pending is not None:
        yield from strategy.pending.candidates


def _averaged_in(progress: Progress) -> dict[str, ScoreCard]:
    averaged = json.loads(progress.parts["strategy"])["averaged"]
    return {candidate_id: card_from_json(card) for candidate_id, card in averaged.items()}


def _edit_to_json(edit: Edit) -> Json:
    """Encode an edit, with pictures by digest; `_restore_edit` decodes it."""
    inputs = edit.inputs
    return {
        "frame": [list(inputs.frame.rectangle), list(inputs.frame.size)],
        "steps": inputs.steps,
        "prior": inputs.prior.value,
        "references": list(inputs.references),
        "more_characters": list(inputs.more_characters),
        "digests": dict(edit.digests),
        "scene_box": list(edit.scene_box),
        "character_box": list(edit.character_box),
        "character_face": edit.character_face,
        "more_faces": list(edit.more_faces),
        "scene_faces": [list(box) for box in edit.scene_faces],
        "character_faces": [list(box) for box in edit.character_faces],
    }


async def _restore_edit(data: Json, checkpoint: ServedCheckpoint, artifacts: ArtifactStore) -> Edit:
    """Decode the edit from `_edit_to_json`, with its exact pictures."""
    digests = data["digests"]

    async def pictures(names: Iterable[str]) -> dict[str, Picture]:
        return {name: await get_picture(artifacts, digests[name]) for name in names}

    known = await pictures(("scene", "character", "prior"))
    inputs = Inputs(
        frame=Frame(tuple(data["frame"][0]), tuple(data["frame"][1])),
        scene=known["scene"],
        character=known["character"],
        references=await pictures(data["references"]),
        mask=await get_mask(artifacts, digests["mask"]) if "mask" in digests else None,
        steps=data["steps"],
        prior=PriorMode(data["prior"]),
        more_characters=await pictures(data["more_characters"]),
    )
    return Edit(
        checkpoint=checkpoint,
        inputs=inputs,
        digests=digests,
        prior=known["prior"],
        embedding=await get_vector(artifacts, digests["embedding"]),
        scene_box=tuple(data["scene_box"]),
        character_box=tuple(data["character_box"]),
        character_face=data["character_face"],
        more_faces=tuple(data["more_faces"]),
        scene_faces=tuple(tuple(box) for box in data["scene_faces"]),
        character_faces=tuple(tuple(box) for box in data["character_faces"]),
    )


def report_to_text(report: Report) -> str:
    """Encode a report; it only names the candidate, which is in the strategy's snapshot."""
    latents = report.latents
    return to_text(
        {
            "id": report.candidate.id,
            "picture": report.picture,
            "card": None if report.evaluation is None else card_to_json(report.evaluation.card),
            "failure": report.failure,
            "latents": None if latents is None else [latents.digest, *latents.shape],
        }
    )


def _report_from_json(data: Json, candidate: Candidate, objective: Objective) -> Report:
    """Restore a report from `report_to_text`'s form.

    Args:
        data: The form.
        candidate: That it names.
        objective: Of the search.
    """
    if data["picture"] is None:
        return report_of_failure(candidate, data["failure"])
    latents = None
    if data["latents"] is not None:
        digest, tokens, channels = data["latents"]
        latents = Latents(digest, (tokens, channels))
    return report_of_scores(candidate, data["picture"], card_from_json(data["card"]), objective, latents)


def card_to_json(card: ScoreCard) -> Json:
    """Return a JSON-able form."""
    return {
        "values": dict(card.values),
        "missing": dict(card.missing),
        "raw": dict(card.raw),
        "repeats": dict(card.repeats),
    }


def card_from_json(data: Mapping[str, Any]) -> ScoreCard:
    """Restore a card from `card_to_json`'s form."""
    return ScoreCard(data["values"], data["missing"], data["raw"], data["repeats"])
