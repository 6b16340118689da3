"""What a study writes down, on a landscape whose figures are known."""

from pathlib import Path

import numpy as np
from PIL import Image

from studies.contenders import DEFAULT, DRAFT_SHARES, families
from studies.costs import Prices
from studies.parts import fresh_rows, probe_rows, search_rows
from studies.report import write_results
from studies.results import Results
from studies.rivals.settings import DraftFit
from tests.studies.landscape import STEPS, bench

TASKS = range(6)


async def test_every_contender_stands_in_every_table_of_its_budgets(tmp_path: Path) -> None:
    names = (DEFAULT, "best_of_n_drafted")
    known = families(dict.fromkeys(DRAFT_SHARES, DraftFit(0.7, 0.7)), names)
    contenders = tuple(one for one, *_ in known)
    results = Results(
        steps=STEPS,
        compared=16,
        yardstick=bench(0).yardstick,
        contenders=contenders,
        trials=[],
        prices=Prices(evaluation_s=0.01, picture_s=0.01, call_s=0.005, batch_s=0.02),
        fresh=[row for task in TASKS for row in await fresh_rows(bench(task), 64)],
        searches=[
            row
            for budget in (8, 16, 32)
            for one in contenders
            for task in TASKS
            for row in await search_rows(bench(task), one, budget)
        ],
        probes=[row for task in TASKS for row in await probe_rows(bench(task), 4)],
    )
    write_results(results, tmp_path)
    lines = (tmp_path / "tables.md").read_text().splitlines()
    drafted = [line for line in lines if line.startswith("| best-of-N, coarse drafts")]
    assert all(0 < float(cell) < 10 for cell in drafted[-1].split(" | ")[1:4]), "seconds at 8, 16 and 32"
    assert "nan" not in "\n".join(lines)
    of_the_lead = next(line.split(" | ")[1:] for line in lines if line.startswith("| adaptive, restarts | "))
    assert len(of_the_lead) == 3, "scorers"
    for plot in ("comparison.png", "plans.png"):
        assert np.asarray(Image.open(tmp_path / plot).convert("L")).std() > 10, "something is drawn"
