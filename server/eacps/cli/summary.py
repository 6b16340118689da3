"""A finished search in a few lines for a person: what it gained, the top candidates, where the time went."""

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from eacps.cli.record import CandidateRecord, CompleteSearch
from eacps.cli.report import gains, stop_reason, timings_s

TOP = 5
_CUT_SHORT = {
    "nfe": "the denoiser evaluations were spent",
    "pictures": "the pictures were made",
    "vlm_calls": "the calls of vision-language models were spent",
    "wall_time": "its time was up",
    "target_reached": "the wanted potential was reached",
    "low_diversity": "seeds hardly differ",
}


def print_summary(search: CompleteSearch, console: Console) -> None:
    """Print it."""
    console.print(_gain_lines(search))
    console.print(_table(search))
    console.print(_time_line(search), style="dim", highlight=False)
    for warning in warnings_of(search):
        console.print(f"[yellow]note:[/] {escape(warning)}", highlight=False)


def warnings_of(search: CompleteSearch) -> Iterable[str]:
    """What a person should know before trusting the figures."""
    statistics = search.finished.statistics
    if (shortfall := search.finished.evaluation.shortfall) > 0:
        yield f"no candidate met every floor; the best misses one by {shortfall:.2f}"
    if statistics.failed:
        yield f"{statistics.failed} candidates could not be made or scored"
    if (reason := stop_reason(search.finished)) in _CUT_SHORT:
        yield f"the search stopped early: {_CUT_SHORT[reason]}"
    if search.finished.diversity.low:
        yield "seeds hardly differ on this checkpoint: a search over noise finds little here"
    if statistics.missing_scores:
        yield f"{statistics.missing_scores} scores are missing; {statistics.incomplete} potentials are lower bounds"


def origin(candidate: CandidateRecord) -> str:
    """Where its noise comes from, in words."""
    if candidate.parents:
        return f"{candidate.move.replace('_', ' ')}, from {', '.join(candidate.parents)}"
    return f"seed {candidate.recipe[0][0]}"


def potential_text(candidate: CandidateRecord) -> str:
    """Its potential; a lower bound says so."""
    if candidate.evaluation is None or candidate.potential is None:
        return "failed"
    return f"{'' if candidate.evaluation.complete else '≥ '}{candidate.potential:.3f}"


def _gain_lines(search: CompleteSearch) -> Text:
    statistics, prior = search.finished.statistics, search.prior.evaluation
    first = statistics.first_potential if statistics.HasField("first_potential") else None
    compared = gains(statistics)
    lines = Text()
    lines.append(f"best {search.finished.best_candidate_id}", style="bold green")
    lines.append(f"   potential {statistics.best_potential:.3f}   of {statistics.candidates} candidates\n")
    for name, value, gain in (
        ("first seed", first, compared["over_first_seed"]),
        ("prior", prior.potential if prior.HasField("potential") else None, compared["over_prior"]),
    ):
        if value is None or gain is None:
            lines.append(f"  over the {name:<10}  not known, it could not be scored\n")
            continue
        lines.append(f"  over the {name:<10}  ")
        lines.append(f"{gain:+.3f}", style="bold green" if gain > 0 else "bold yellow")
        lines.append(f"   ({value:.3f} -> {statistics.best_potential:.3f})\n")
    for watched in search.finished.gains:
        if watched.held_out and watched.HasField("over_first"):
            lines.append(f"  {watched.scorer}, which was not searched: {watched.over_first:+.3f} over the first seed\n")
    return lines


def _table(search: CompleteSearch) -> Table:
    scorers = list(search.started.scorers)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("rank", "candidate", "noise"):
        table.add_column(column, justify="right" if column == "rank" else "left")
    for scorer in scorers:
        table.add_column(scorer.name if scorer.held_out else f"{scorer.name} ×{scorer.weight:.2g}", justify="right")
    table.add_column("potential", justify="right")
    shown = {candidate.id: candidate for candidate in search.ranking[:TOP]}
    shown[search.first_candidate.id] = search.first_candidate  # in its place, whatever that is
    for candidate in shown.values():
        table.add_row(
            str(search.ranks[candidate.id]),
            candidate.id,
            origin(candidate),
            *(_score_text(candidate, scorer.name) for scorer in scorers),
            potential_text(candidate),
        )
    return table


def _score_text(candidate: CandidateRecord, scorer: str) -> str:
    value = None if candidate.evaluation is None else candidate.evaluation.scores.get(scorer)
    return "-" if value is None else f"{value:.3f}"


def _time_line(search: CompleteSearch) -> str:
    spent = timings_s(search.finished)
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in spent.items() if stage != "total")
    return f"\ntime: {spent.get('total', 0.0):.1f} s ({stages}; stages overlap)"
