"""The judge that is not searched: it learns, and what it says of searches is compared rightly."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from eacps.triton.embedded import EmbeddedTriton
from studies.contenders import BASELINE, DEFAULT, DRAFT_SHARES, families
from studies.held_out_judge import JUDGED, judged_rows, judged_table, log_odds, run, train
from studies.parts import result
from studies.pool import Pool, fingerprint
from studies.rivals.settings import DraftFit
from studies.runner import open_runner
from studies.study import yardstick_of
from studies.tables import JudgedRow, TrialRow, write_rows
from studio_mini.faces.figures import area_under_roc
from tests.studies.landscape import bench

CONTENDERS = tuple(family[0] for family in families(dict.fromkeys(DRAFT_SHARES, DraftFit(1.0, 1.0)), (DEFAULT,)))


def textured(count: int, size: int, seed: int) -> np.ndarray:
    """Noise in squares of so many pixels, uint8 [count, 128, 128, 3]."""
    cells = np.random.default_rng(seed).integers(60, 200, (count, 128 // size, 128 // size, 3), np.uint8)
    return cells.repeat(size, axis=1).repeat(size, axis=2)


def test_it_learns_to_tell_pictures_apart() -> None:
    fine, coarse = textured(48, 4, 0), np.stack([textured(48, 8, 1), textured(48, 16, 2)], axis=1)
    judge = train(fine, coarse, epochs=6, batch=32)
    others = [log_odds(judge, textured(40, size, 3)) for size in (4, 8, 16)]
    assert min(area_under_roc(others[0], one) for one in others[1:]) > 0.95
    again = log_odds(train(fine, coarse, epochs=6, batch=32), textured(40, 4, 3))
    assert again == pytest.approx(others[0], abs=0.05), "the same seed trains the same judge"


class Brightness(nn.Module):
    """How bright a picture is, from 0 to 1."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.mean(dim=(1, 2, 3)) / 2 + 0.5


async def test_the_picture_that_a_search_ends_with_is_judged() -> None:
    rows = await judged_rows(bench(4), Brightness(), CONTENDERS, 16)
    assert [row.contender for row in rows] == [""] * 8 + [BASELINE, DEFAULT]
    for contender, row in zip(CONTENDERS, rows[8:], strict=True):
        found = await result(bench(4), contender, 16)
        assert row.log_odds == pytest.approx(found.scores["identity"], abs=1 / 255)


def test_results_are_compared_with_best_of_n_on_the_same_tasks() -> None:
    odds = {"": (0.0, 2.0), BASELINE: (2.0, 3.0), DEFAULT: (3.0, 5.0)}  # of the first task, the first for each seed
    rows = [JudgedRow(0, "", 32, value) for value in odds[""]]
    rows += [JudgedRow(1, "", 32, 1.0 + value) for value in odds[""]]
    rows += [JudgedRow(task, name, 32, odds[name][task]) for task in (0, 1) for name in (BASELINE, DEFAULT)]
    found = judged_table(rows, {BASELINE: "best-of-N", DEFAULT: "the default"}, 0.97)
    sd = 2.0**0.5
    assert "at 32 trajectories" in found
    assert "AUC 0.970" in found
    assert f"| best-of-N | {1.0 / sd:+.2f} ± 0.00 |  |" in found
    assert f"| the default | {2.5 / sd:+.2f} ± {0.5 / sd:.2f} | {1.5 / sd:+.2f} ± {0.5 / sd:.2f} |" in found


@pytest.mark.timeout(600)
async def test_searches_over_a_real_triton_are_judged(
    triton: EmbeddedTriton, checkpoint_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = [
        TrialRow(2000, one.name, one.setting, 0.5 + 0.01 * number)
        for family in families(dict.fromkeys(DRAFT_SHARES, DraftFit(1.0, 1.0)), JUDGED)
        for number, one in enumerate(family)
    ]
    write_rows(tmp_path / "trials.csv", TrialRow, tried)
    arguments = argparse.Namespace(
        checkpoint=checkpoint_dir, work_dir=tmp_path, out=tmp_path, budget=8, tasks=2, trained=2, tested=2, epochs=1
    )
    pool = Pool(tmp_path, tmp_path / "pool.csv.gz", weights=fingerprint(checkpoint_dir, shows_character=True))
    async with open_runner(triton.grpc_url, pool, yardstick_of(checkpoint_dir), shows_character=True) as runner:
        first = await run(arguments, runner)
        assert await run(arguments, runner) == first, "what was trained is used again"
    assert len(list(tmp_path.glob("samples-*.npz"))) == 2
    assert "AUC of truths against restarts at step 4" in capsys.readouterr().err
    lines = (tmp_path / "held_out_judge_8.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * (8 + len(JUDGED))
    assert first.count("±") == 2 * len(JUDGED) - 1
