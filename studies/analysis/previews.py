"""What a preview tells: rank correlation with the final potential, by step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from studies.analysis.by_task import Array, Estimate, estimate
from studies.tables import PreviewRow


def rank_correlations(rows: Sequence[PreviewRow]) -> dict[int, Estimate]:
    """Give Spearman's correlation within tasks, mean over tasks, by step."""
    table: dict[int, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        table[row.task][row.stop][row.place] = row.potential
    last = max(row.stop for row in rows)
    found: dict[int, list[float]] = defaultdict(list)
    for by_stop in table.values():
        final = _ranks([by_stop[last][place] for place in sorted(by_stop[last])])
        for stop in sorted(set(by_stop) - {last}):
            shown = _ranks([by_stop[stop][place] for place in sorted(by_stop[stop])])
            if final.std() > 0 and shown.std() > 0:
                found[stop].append(float(np.corrcoef(final, shown)[0, 1]))
    return {stop: estimate(values) for stop, values in sorted(found.items())}


def _ranks(values: Sequence[float]) -> Array:
    """Ranks, ties at their mean."""
    ordered = np.sort(values)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / 2
