"""``python -m studies.held_out_judge``: are the results of searches more natural to a judge that no search saw?

Searches climb the realism of one judge, and may find what that judge takes for natural. This one is another network, of
another kind, trained from scratch on other tasks: it tells drawn truths, which have been through the autoencoder as all
pictures have, from finished pictures that nobody selected, of fresh seeds and of restarts.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from eacps.errors import EacpsError
from eacps.search.recipe import Recipe
from studies.analysis.by_task import Array, estimate
from studies.contenders import BASELINE, DEFAULT, DRAFT_SHARES, Contender, families
from studies.markdown import table
from studies.oracle import UnscoredError
from studies.parts import Bench, result
from studies.pool import Pool, fingerprint
from studies.probes import fresh, restarted
from studies.rivals.settings import DraftFit
from studies.runner import Runner, embedded, open_runner
from studies.study import yardstick_of
from studies.subjects import FIRST_STUDIED
from studies.tables import JudgedRow, TrialRow, write_rows
from studies.tuning import best_setting
from studio_mini.faces.figures import area_under_roc
from studio_mini.train.latent_cache import Encoders
from studio_mini.world.tasks import Split, task

ROOT: Final = Path(__file__).resolve().parents[1]
FIRST_SAMPLED: Final = 3000
"""Tasks whose pictures the judge is tested on, then those of its training."""
RESTART_STEPS: Final = (6, 4)
"""Of a picture of a fresh seed, then of that picture."""
JUDGED: Final = (BASELINE, "fixed", "adaptive", DEFAULT, "cross_entropy", "evolution")
FRESH: Final = 8
"""Seeds of each compared task, whose standard deviation is the unit."""
Pictures = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Sample:
    """What the judge is trained or tested on, of one task: the drawn truth, uint8 [128, 128, 3], and finished pictures,
    uint8 [1 + restarts, 128, 128, 3]."""

    truth: Pictures
    finished: Pictures


class Network(nn.Module):
    """Pictures [N, 3, 128, 128] in [-1, 1] to log-odds [N]."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, following in ((3, 16), (16, 32), (32, 64), (64, 96)):
            layers += [nn.Conv2d(channels, following, 3, stride=2, padding=1), nn.GroupNorm(8, following), nn.SiLU()]
            layers += [nn.Conv2d(following, following, 3, padding=1), nn.GroupNorm(8, following), nn.SiLU()]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3))
        self.answer = nn.Linear(96, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        odds: Tensor = self.answer(self.features(pictures))
        return odds.squeeze(1)


def train(truths: Pictures, finished: Pictures, *, epochs: int, seed: int = 0, batch: int = 64) -> Network:
    """Train a judge.

    Args:
        truths: uint8 [N, 128, 128, 3].
        finished: uint8 [N, P, 128, 128, 3]; of a task that a step draws, the truth is shown and one of these.
        epochs: How often a task is drawn on average.
        seed: Of weights and order.
        batch: Pictures of a step at most, half of them truths.
    """
    torch.manual_seed(seed)
    rng, network = np.random.default_rng(seed), Network()
    half = min(batch // 2, len(truths))
    steps = epochs * (len(truths) // half)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        rows = rng.choice(len(truths), half, replace=False)
        kinds = rng.integers(finished.shape[1], size=len(rows))
        pictures = _augmented(_scaled(np.concatenate([truths[rows], finished[rows, kinds]])), rng)
        answers = torch.cat([torch.ones(len(rows)), torch.zeros(len(rows))])
        loss = functional.binary_cross_entropy_with_logits(network(pictures), answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
        if step % 50 == 0:
            print(f"step {step} of {steps}: loss {loss.item():.3f}", file=sys.stderr)
    return network.eval()


@torch.no_grad()
def log_odds(network: Network, pictures: Pictures, batch: int = 64) -> Array:
    """Judge pictures, uint8 [N, 128, 128, 3], and their mirror images: mean log-odds [N] of being drawn."""
    found = []
    for start in range(0, len(pictures), batch):
        shown = _scaled(pictures[start : start + batch])
        found.append((network(shown) + network(shown.flip(3))).double() / 2)
    return torch.cat(found).numpy()


def _scaled(pictures: Pictures) -> Tensor:
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(
        memory_format=torch.channels_last
    )


def _augmented(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirror and shift each picture, change its light, and put noise on it that hides how it was decoded."""
    out = []
    for picture in pictures:
        mirrored = picture.flip(2) if rng.random() < 0.5 else picture
        down, across = (int(one) for one in rng.integers(-6, 7, size=2))
        shifted = mirrored.roll((down, across), (1, 2))
        out.append(shifted * float(rng.uniform(0.9, 1.1)) + float(rng.uniform(-0.08, 0.08)))
    varied = torch.stack(out)
    noise = torch.from_numpy(rng.standard_normal(varied.shape, dtype=np.float32))
    return (varied + 0.01 * noise).contiguous(memory_format=torch.channels_last)


async def sample_rows(bench: Bench) -> list[Sample]:
    """Make one task's pictures, the one row of its part: of a fresh seed, and restarts one after the other."""
    chain = fresh(bench.task, 1)
    for step in RESTART_STEPS:
        chain += restarted(bench.task, chain[-1:], step)
    return [Sample(task(bench.task, Split.HELD_OUT).truth.picture, await bench.pictures(chain))]


async def judged_rows(bench: Bench, network: Network, contenders: Sequence[Contender], budget: int) -> list[JudgedRow]:
    """Judge one task's fresh seeds and the results of searches."""
    seeds = fresh(bench.task, FRESH)
    recipes: list[Recipe] = [(await result(bench, contender, budget)).recipe for contender in contenders]
    odds = log_odds(network, await bench.pictures([*seeds, *recipes]))
    names = [*[""] * FRESH, *(contender.name for contender in contenders)]
    return [JudgedRow(bench.task, name, budget, float(one)) for name, one in zip(names, odds, strict=True)]


def judged_table(rows: Sequence[JudgedRow], titles: Mapping[str, str], auc: float) -> str:
    """Compare what searches found with best-of-N's results on the same tasks, and with one fresh seed."""
    tasks = sorted({row.task for row in rows})
    seeds = np.array([[row.log_odds for row in rows if (row.task, row.contender) == (one, "")] for one in tasks])
    sd = float(np.sqrt(seeds.var(axis=1, ddof=1).mean()))
    found = {(row.task, row.contender): row.log_odds for row in rows if row.contender}
    baseline = np.array([found[one, BASELINE] for one in tasks])
    lines = []
    for name, title in titles.items():
        odds = np.array([found[one, name] for one in tasks])
        against = "" if name == BASELINE else str(estimate((odds - baseline) / sd))
        lines.append((title, str(estimate((odds - seeds.mean(axis=1)) / sd)), against))
    head = ("strategy", "over one seed, sd", "over best-of-N, sd")
    return table(
        f"Naturalness at {rows[0].budget} trajectories by a judge that is not searched (AUC {auc:.3f})", head, lines
    )


async def run(arguments: argparse.Namespace, runner: Runner) -> str:
    """Train the judge, or load what was trained, and judge; the table."""
    setting = f"{runner.oracle.pool.weights}-{arguments.tested}-{arguments.trained}-{arguments.epochs}"
    kept = arguments.work_dir / f"held_out_judge-{setting}.pt"
    encoders, first = Encoders(arguments.checkpoint), FIRST_SAMPLED + arguments.tested
    tested = await _samples(runner, encoders, range(FIRST_SAMPLED, first), arguments.work_dir)
    network = Network()
    if kept.exists():
        network.load_state_dict(torch.load(kept, weights_only=True))
        network.eval()
    else:
        samples = await _samples(runner, encoders, range(first, first + arguments.trained), arguments.work_dir)
        network = train(*samples, epochs=arguments.epochs)
        torch.save(network.state_dict(), kept)
    drawn, *others = (log_odds(network, one) for one in (tested[0], *np.moveaxis(tested[1], 1, 0)))
    names = ("fresh seeds", *(f"restarts at step {step}" for step in RESTART_STEPS))
    for name, odds in zip(names, others, strict=True):
        print(f"AUC of truths against {name}: {area_under_roc(drawn, odds):.3f}", file=sys.stderr)
    contenders = _contenders(arguments.out)
    tasks = range(FIRST_STUDIED, FIRST_STUDIED + arguments.tasks)
    part = partial(judged_rows, network=network, contenders=contenders, budget=arguments.budget)
    rows = await runner.over_tasks("held-out judge", tasks, part)
    write_rows(arguments.out / f"held_out_judge_{arguments.budget}.csv", JudgedRow, rows)
    return judged_table(rows, {one.name: one.title for one in contenders}, area_under_roc(drawn, others[0]))


async def _samples(runner: Runner, encoders: Encoders, tasks: range, work_dir: Path) -> tuple[Pictures, Pictures]:
    """Make the truths and the finished pictures of tasks, or read what was made."""
    kept = work_dir / f"samples-{runner.oracle.pool.weights}-{tasks.start}-{len(tasks)}.npz"
    if kept.exists():
        with np.load(kept) as arrays:
            return arrays["truths"], arrays["finished"]
    rows = await runner.over_tasks("pictures to judge", tasks, sample_rows)
    truths = np.stack([row.truth for row in rows])
    decoded = [encoders.pictures(encoders.latents(truths[at : at + 25])) for at in range(0, len(truths), 25)]
    arrays = {"truths": np.concatenate(decoded), "finished": np.stack([row.finished for row in rows])}
    partial_file = kept.with_suffix(".partial.npz")
    np.savez(partial_file, **arrays)
    partial_file.rename(kept)
    return arrays["truths"], arrays["finished"]


def _contenders(out: Path) -> tuple[Contender, ...]:
    """Return those of the study, with the settings that were chosen there."""
    with (out / "trials.csv").open(encoding="utf-8", newline="") as file:
        trials = [
            TrialRow(int(row["task"]), row["contender"], row["setting"], float(row["potential"]))
            for row in csv.DictReader(file)
        ]
    found = families(dict.fromkeys(DRAFT_SHARES, DraftFit(1.0, 1.0)), JUDGED)
    return tuple(best_setting(family, trials) for family in found)


async def _main(arguments: argparse.Namespace) -> str:
    pool = Pool(arguments.work_dir, arguments.pool, weights=fingerprint(arguments.checkpoint, shows_character=True))
    async with (
        embedded(arguments.model_repository, arguments.work_dir / "triton.log") as url,
        open_runner(url, pool, yardstick_of(arguments.checkpoint), shows_character=True) as runner,
    ):
        return await run(arguments, runner)


def main() -> int:
    """Run the command; 1 where Triton or a scorer failed."""
    parser = argparse.ArgumentParser(description="Judge the study's results by a network that no search sees.")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "studio_mini" / "checkpoint")
    parser.add_argument("--model-repository", type=Path, default=ROOT / ".build" / "model_repository")
    parser.add_argument("--work-dir", type=Path, default=ROOT / ".build" / "study", help="journal of scores, the judge")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "study", help="the study's tables; rows go there")
    parser.add_argument("--pool", type=Path, default=ROOT / "studies" / "pool.csv.gz", help="published scores")
    parser.add_argument("--budget", type=int, default=32, help="trajectories of the searches")
    parser.add_argument("--tasks", type=int, default=100, help="that were compared on")
    parser.add_argument("--trained", type=int, default=600, help="tasks that the judge is trained on")
    parser.add_argument("--tested", type=int, default=150, help="tasks that its AUC is measured on")
    parser.add_argument("--epochs", type=int, default=150)
    arguments = parser.parse_args()
    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    try:
        print(asyncio.run(_main(arguments)))
    except (EacpsError, UnscoredError) as exc:
        print(f"failed: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
