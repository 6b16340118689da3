"""The judge that is not searched: it learns, and what it says of searches is compared rightly."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

from eacps.triton.embedded import EmbeddedTriton
from studies.contenders import BASELINE, DEFAULT, DRAFT_SHARES, families
from studies.held_out_judge import (
    JUDGED,
    SIDES,
    Network,
    agreement_table,
    judged_rows,
    judged_table,
    log_odds,
    run,
    shown_rows,
    train,
)
from studies.parts import result
from studies.pool import Pool, fingerprint
from studies.rivals.settings import DraftFit
from studies.runner import open_runner
from studies.study import yardstick_of
from studies.tables import FreshRow, JudgedRow, TrialRow, read_rows, write_rows
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


class Brightness(Network):
    """How bright a picture is, from 0 to 1."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.mean(dim=(1, 2, 3)) / 2 + 0.5


async def test_the_picture_that_a_search_ends_with_is_judged() -> None:
    shown = await shown_rows(bench(4), CONTENDERS, 16)
    rows = judged_rows(Brightness(32), shown, [one.name for one in CONTENDERS], 16)
    assert [row.contender for row in rows] == [""] * 8 + [BASELINE, DEFAULT]
    assert {row.side for row in rows} == {32}
    for contender, row in zip(CONTENDERS, rows[8:], strict=True):
        found = await result(bench(4), contender, 16)
        assert row.log_odds == pytest.approx(found.scores["identity"], abs=1 / 255)


def test_what_is_scaled_down_has_no_texture() -> None:
    """Noise of single pixels, of one mean, is not told from gray by who sees a quarter of the pixels."""
    noisy = np.random.default_rng(0).integers(0, 2, (24, 128, 64, 3), np.uint8) * 100
    noisy = np.stack([noisy, 100 - noisy], axis=3).reshape(24, 128, 128, 3) + 50  # each pixel beside its opposite
    plain = np.full_like(noisy, 100)
    for side, least, most in ((128, 0.95, 1.0), (64, 0.2, 0.8)):
        judge = train(plain, noisy[:, None], epochs=6, side=side, batch=32)
        assert least <= area_under_roc(log_odds(judge, plain), log_odds(judge, noisy)) <= most


def test_results_are_compared_with_best_of_n_on_the_same_tasks() -> None:
    odds = {"": (0.0, 2.0), BASELINE: (2.0, 3.0), DEFAULT: (3.0, 5.0)}  # of the first task, the first for each seed
    rows = [JudgedRow(0, "", 32, 64, value) for value in odds[""]]
    rows += [JudgedRow(1, "", 32, 64, 1.0 + value) for value in odds[""]]
    rows += [JudgedRow(task, name, 32, 64, odds[name][task]) for task in (0, 1) for name in (BASELINE, DEFAULT)]
    rows += [JudgedRow(row.task, row.contender, 32, 128, -row.log_odds) for row in rows]
    found = judged_table(rows, {BASELINE: "best-of-N", DEFAULT: "the default"})
    sd = 2.0**0.5
    assert "at 32 trajectories" in found
    assert f"| best-of-N | {-1.0 / sd:+.2f} ± 0.00 | {1.0 / sd:+.2f} ± 0.00 |  |  |" in found
    over_seed, over_best = f"{2.5 / sd:+.2f} ± {0.5 / sd:.2f}", f"{1.5 / sd:+.2f} ± {0.5 / sd:.2f}"
    opposite = [text.replace("+", "-") for text in (over_seed, over_best)]
    assert f"| the default | {opposite[0]} | {over_seed} | {opposite[1]} | {over_best} |" in found


def test_judges_are_compared_with_what_is_known_of_the_same_seeds() -> None:
    values = np.random.default_rng(0).normal([[0.0], [50.0]], size=(2, 8))  # tasks differ, and that is no agreement
    seeds = [
        FreshRow(task, seed, 0.0, 0.0, 0.0, value, 0.0, -value, 0.0, float(-(seed % 2)))
        for task in (0, 1)
        for seed, value in enumerate(map(float, values[task]))
    ]
    rows = [JudgedRow(task, "", 32, 64, float(values[task, seed])) for task in (0, 1) for seed in range(8)]
    expected = np.corrcoef((values - values.mean(axis=1, keepdims=True)).ravel(), np.tile(-(np.arange(8) % 2), 2))[0, 1]
    found = agreement_table(rows, seeds, {64: [0.97, 0.96, 0.95]})
    assert f"| 64 px | 0.970 | 0.960 | 0.950 | +1.00 | -1.00 | {expected:+.2f} |" in found


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
    assert read_rows(tmp_path / "trials.csv", TrialRow) == tried
    scores = np.random.default_rng(0).uniform(size=(2, 8, 8)).tolist()
    seeds = [FreshRow(1000 + task, seed, *scores[task][seed]) for task in (0, 1) for seed in range(8)]
    write_rows(tmp_path / "fresh.csv", FreshRow, seeds)
    arguments = argparse.Namespace(
        checkpoint=checkpoint_dir, work_dir=tmp_path, out=tmp_path, budget=8, tasks=2, trained=2, tested=2, epochs=1
    )
    pool = Pool(tmp_path, tmp_path / "pool.csv.gz", weights=fingerprint(checkpoint_dir, shows_character=True))
    async with open_runner(triton.grpc_url, pool, yardstick_of(checkpoint_dir), shows_character=True) as runner:
        first = await run(arguments, runner)
        assert await run(arguments, runner) == first, "what was trained is used again"
    assert len(list(tmp_path.glob("samples-*.npz"))) == 2
    printed = capsys.readouterr().err
    assert all(f"judge of {side} px: AUC" in printed for side in SIDES)
    lines = (tmp_path / "held_out_judge_8.csv").read_text().splitlines()
    assert len(lines) == 1 + len(SIDES) * 2 * (8 + len(JUDGED))
    assert first.count("±") == len(SIDES) * (2 * len(JUDGED) - 1)
