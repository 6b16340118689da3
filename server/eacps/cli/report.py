"""Write what a search found into a folder: best.png, contact_sheet.png, result.json, and search.png where asked.

``best.png`` is the result, of the scene's size; of a TIFF or OpenEXR scene it is ``best.tif`` or ``best.exr``. Where
the search worked on a part of the scene or at another size, ``best_working.png`` is the best picture as it was made.
"""

import json
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from eacps.cli.files import check_new, writing
from eacps.cli.request import describe_pictures
from eacps.client.file_names import LAYERS, SUFFIXES, suffix_of
from eacps.client.record import CompleteSearch, ScoredPicture
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import artifact_of, images_in

PLOT = "search.png"
WORKING = "best_working.png"
FILES = ("contact_sheet.png", "result.json")
_OF_BEST = tuple(f"{name}{suffix}" for name in ("best", *(f"best_{one}" for one in LAYERS)) for suffix in SUFFIXES)


def write_report(
    search: CompleteSearch, request: pb.RunSearchRequest, folder: Path, *, plot: bool = False
) -> dict[str, Any]:
    """Write the files; those of an earlier search are replaced, its plot removed where there is no new one.

    Args:
        search: A finished search.
        request: What it was asked for.
        folder: Is there.
        plot: Whether the progress of the search is drawn too.

    Returns:
        What ``result.json`` holds.

    Raises:
        CommandFailed: They cannot be written.
    """
    # Takes a third of a second to import, which commands that draw nothing do without.
    from eacps.drawing import SentInputs, draw_contact_sheet, draw_search_plot, png_of_drawing

    result = result_json(search, request)
    mask = request.mask.data if request.HasField("mask") else None
    sheet = draw_contact_sheet(search, SentInputs(request.character.data, request.prompt, mask))
    with writing(folder):
        for name in _OF_BEST:
            (folder / name).unlink(missing_ok=True)
        (folder / _best_of(search)).write_bytes(search.result)
        for file, data in _layers_of(search).items():
            (folder / file).write_bytes(data)
        (folder / WORKING).unlink(missing_ok=True)
        if search.pasted_back:
            (folder / WORKING).write_bytes(search.finished.best.data)
        (folder / "contact_sheet.png").write_bytes(png_of_drawing(sheet))
        (folder / PLOT).unlink(missing_ok=True)
        if plot:
            (folder / PLOT).write_bytes(png_of_drawing(draw_search_plot(search)))
        text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
        (folder / "result.json").write_text(text, encoding="utf-8")
    return result


def check_no_result(folder: Path, *, overwrite: bool) -> None:
    """Check that a folder holds nothing that a result would replace or remove, before any work is done for it.

    Raises:
        CommandFailed: It does, and ``overwrite`` is not given.
    """
    check_new([folder / name for name in (*FILES, WORKING, PLOT, *_OF_BEST)], overwrite=overwrite)


def files_of(search: CompleteSearch, *, plot: bool) -> tuple[str, ...]:
    """Name the files that `write_report` writes."""
    return (
        _best_of(search),
        *_layers_of(search),
        *FILES,
        *((WORKING,) if search.pasted_back else ()),
        *((PLOT,) if plot else ()),
    )


def _best_of(search: CompleteSearch) -> str:
    return f"best{suffix_of(search.result)}"


def _layers_of(search: CompleteSearch) -> dict[str, bytes]:
    return {f"best_{name}{suffix_of(data)}": data for name, data in search.layers.items()}


def result_json(search: CompleteSearch, request: pb.RunSearchRequest) -> dict[str, Any]:
    """The whole search as JSON-able values; pictures by content hash only, since they are the customer's."""
    finished = search.finished
    return {
        "search_id": search.started.search_id,
        "request": _request_json(request, search.started),
        "prior": {
            "mode": search.prior_mode,
            **ScoredPicture.from_message(search.prior.evaluation).to_json(),
        },
        "best": {
            "id": finished.best_candidate_id,
            "recipe": [{"seed": term.seed, "coefficient": term.coefficient} for term in finished.recipe.terms],
            "restarts": [{"step": one.step, "seed": one.seed} for one in finished.recipe.restarts],
            "evaluation": ScoredPicture.from_message(finished.evaluation).to_json(),
            "lineage": list(finished.lineage),
            "artifact": artifact_of(finished.delivered) or artifact_of(finished.best) or None,
        },
        "frame": _box_json(search.prior.frame) if search.prior.HasField("frame") else None,
        "gain": gains(finished.statistics),
        "gain_by_scorer": {gain.scorer: _plain(gain) for gain in finished.gains},
        "stop_reason": stop_reason(finished),
        "spent": _spent_json(finished.spent),
        "pareto_front": list(finished.pareto_front),
        "diversity": _plain(finished.diversity) if finished.HasField("diversity") else None,
        "candidates": [candidate.to_json() for candidate in search.ranking],
        "statistics": _statistics_json(finished.statistics),
        "timings_s": timings_s(finished),
        "versions": dict(finished.versions),
        "noise_shape": list(finished.noise_shape),
    }


def gains(statistics: pb.Statistics) -> dict[str, float | None]:
    """Potential that the winner has over the first seed and over the prior; None where that one has none."""
    over_first, over_prior = statistics.gain_over_first, statistics.gain_over_prior
    return {
        "over_first_seed": over_first if statistics.HasField("gain_over_first") else None,
        "over_prior": over_prior if statistics.HasField("gain_over_prior") else None,
    }


def stop_reason(finished: pb.SearchFinished) -> str:
    """Why the search was over, such as ``completed`` or ``wall_time``."""
    return pb.StopReason.Name(finished.stop_reason).removeprefix("STOP_REASON_").lower()


def timings_s(finished: pb.SearchFinished) -> dict[str, float]:
    """Wall-clock seconds by stage."""
    return {stage: span.ToTimedelta().total_seconds() for stage, span in sorted(finished.timings.items())}


def _request_json(request: pb.RunSearchRequest, started: pb.SearchStarted) -> dict[str, Any]:
    """The request as sent, pictures by hash, with what the server put in for what it left open."""
    settings = pb.RunSearchRequest()
    settings.CopyFrom(request)
    for field in ("scene", "character", "mask", "more_characters", "references", "scorers"):
        settings.ClearField(field)
    for _, image in images_in(settings):
        image.Clear()
    return {
        **_plain(settings),
        "pictures": describe_pictures(request),
        "random_seed": started.random_seed,
        "steps": started.steps,
        "weights": {scorer.name: scorer.weight for scorer in started.scorers},
        "questions": {scorer.name: scorer.question for scorer in started.scorers if scorer.HasField("question")},
    }


def _box_json(box: pb.Box) -> list[float]:
    return [box.left, box.top, box.right, box.bottom]


def _spent_json(spent: pb.Spent) -> dict[str, float]:
    return {
        "denoiser_evaluations": spent.denoiser_evaluations,
        "pictures": spent.pictures,
        "vlm_calls": spent.vlm_calls,
        "wall_time_s": spent.wall_time.ToTimedelta().total_seconds(),
    }


def _statistics_json(statistics: pb.Statistics) -> dict[str, Any]:
    plain: dict[str, Any] = MessageToDict(
        statistics, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    # Protobuf's JSON writes 64-bit numbers as text; this one stays far below what a double holds.
    return {**plain, "denoiser_evaluations": statistics.denoiser_evaluations}


def _plain(message: Message) -> dict[str, Any]:
    plain: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return plain
