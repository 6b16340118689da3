"""Prints a finished search in a few lines: what it gained, the top candidates, and where the time went."""

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from eacps.cli.report import gains, stop_reason, timings_s
from eacps.cli.score_table import SATURATED_MARK, score_cells, score_table
from eacps.client.record import CandidateRecord, CompleteSearch

TOP = 5
_CUT_SHORT = {
    "nfe": "the denoiser evaluations were spent",
    "pictures": "the pictures were made",
    "vlm_calls": "the calls of vision-language models were spent",
    "wall_time": "its time was up",
    "target_reached": "the wanted potential was reached",
    "low_diversity": "seeds hardly differ",
    "little_gain": "another round was expected to gain too little",
}


def print_summary(search: CompleteSearch, console: Console) -> None:
    """Print the summary."""
    console.print(_gain_lines(search))
    console.print(_table(search))
    if any(candidate.evaluation and candidate.evaluation.saturated for candidate in search.ranking[:TOP]):
        console.print(f"{SATURATED_MARK} saturated: at the upper end of its scale", style="dim")
    console.print(_time_line(search), style="dim", highlight=False)
    for warning in warnings_of(search):
        console.print(f"[yellow]note:[/] {escape(warning)}", highlight=False)


def warnings_of(search: CompleteSearch) -> Iterable[str]:
    """Yield what a person should know before trusting the figures."""
    yield from search.started.notes
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
    """Describe where a candidate's noise comes from."""
    if candidate.parents:
        return f"{candidate.move.replace('_', ' ')}, from {', '.join(candidate.parents)}"
    return "start point" if candidate.move == "start" else f"seed {candidate.recipe[0][0]}"


def shown_potential(candidate: CandidateRecord) -> str:
    """Return a candidate's potential as text; a lower bound is marked."""
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
    scorers = [(one.name, None if one.held_out else one.weight) for one in search.started.scorers]
    table = score_table(scorers, last="noise")
    shown = {candidate.id: candidate for candidate in search.ranking[:TOP]}
    shown[search.first_candidate.id] = search.first_candidate  # in its place, whatever that is
    for candidate in shown.values():
        rank, scored = str(search.ranks[candidate.id]), candidate.evaluation
        cells = score_cells(scored, scorers)
        table.add_row(rank, candidate.id, shown_potential(candidate), *cells, Text(origin(candidate)))
    return table


def score_text(value: float, *, saturated: bool) -> str:
    """Return a score as tables show it."""
    return f"{value:.3f} saturated" if saturated else f"{value:.3f}"


def _time_line(search: CompleteSearch) -> str:
    spent = timings_s(search.finished)
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in spent.items() if stage != "total")
    return f"\ntime: {spent.get('total', 0.0):.1f} s ({stages}; stages overlap)"
