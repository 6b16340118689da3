"""``python -m studies.held_out_judge``: are the results of searches more natural to judges that no search saw?

Searches climb the realism of one judge, and may find what that judge takes for natural. These are networks of another
kind, trained from scratch on other tasks: they tell drawn truths, which have been through the autoencoder as all
pictures have, from finished pictures that nobody selected, of fresh seeds and of restarts. One sees all pixels, where
texture gives finished pictures away; others see pictures scaled down, where structure has to.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
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
from studies.analysis.by_task import Array, columns, estimate
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
from studies.tables import FreshRow, JudgedRow, TrialRow, read_rows, write_rows
from studies.tuning import best_setting
from studio_mini.faces.figures import area_under_roc
from studio_mini.train.latent_cache import Encoders
from studio_mini.world.tasks import Split, task

ROOT: Final = Path(__file__).resolve().parents[1]
FIRST_SAMPLED: Final = 3000
"""Tasks whose pictures the judges are tested on, then those of their training."""
RESTART_STEPS: Final = (6, 4)
"""Of a picture of a fresh seed, then of that picture."""
JUDGED: Final = (BASELINE, "fixed", "adaptive", DEFAULT, "cross_entropy", "evolution")
FRESH: Final = 8
"""Seeds of each compared task, whose standard deviation is the unit."""
SIDES: Final = (128, 64, 32)
"""Pixels of a picture's side, as judges see them."""
COMPARED: Final = {
    "realism": "the searched realism",
    "identity_heldout": "the held-out cosine",
    "truth_error": "the distance to the truth",
}
"""Columns of the study's fresh seeds that judges are compared with, and their titles."""
Pictures = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Sample:
    """What the judge is trained or tested on, of one task: the drawn truth, uint8 [128, 128, 3], and finished pictures,
    uint8 [1 + restarts, 128, 128, 3]."""

    truth: Pictures
    finished: Pictures


@dataclass(frozen=True, eq=False)
class Shown:
    """What is judged of one task, uint8 [fresh seeds + contenders, 128, 128, 3]."""

    task: int
    pictures: Pictures


class Network(nn.Module):
    """Pictures [N, 3, 128, 128] in [-1, 1] to log-odds [N].

    Args:
        side: Pixels of the side to which they are scaled down first.
    """

    def __init__(self, side: int = 128) -> None:
        super().__init__()
        self.side = side
        layers: list[nn.Module] = []
        for channels, following in ((3, 16), (16, 32), (32, 64), (64, 96)):
            layers += [nn.Conv2d(channels, following, 3, stride=2, padding=1), nn.GroupNorm(8, following), nn.SiLU()]
            layers += [nn.Conv2d(following, following, 3, padding=1), nn.GroupNorm(8, following), nn.SiLU()]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3))
        self.answer = nn.Linear(96, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        odds: Tensor = self.answer(self.features(functional.adaptive_avg_pool2d(pictures, self.side)))
        return odds.squeeze(1)


def train(
    truths: Pictures, finished: Pictures, *, epochs: int, side: int = 128, seed: int = 0, batch: int = 64
) -> Network:
    """Train a judge.

    Args:
        truths: uint8 [N, 128, 128, 3].
        finished: uint8 [N, P, 128, 128, 3]; of a task that a step draws, the truth is shown and one of these.
        epochs: How often a task is drawn on average.
        side: See `Network`.
        seed: Of weights and order.
        batch: Pictures of a step at most, half of them truths.
    """
    torch.manual_seed(seed)
    rng, network = np.random.default_rng(seed), Network(side)
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


async def shown_rows(bench: Bench, contenders: Sequence[Contender], budget: int) -> list[Shown]:
    """Make one task's pictures to judge, the one row of its part: of fresh seeds, then the results of searches."""
    recipes: list[Recipe] = [(await result(bench, contender, budget)).recipe for contender in contenders]
    return [Shown(bench.task, await bench.pictures([*fresh(bench.task, FRESH), *recipes]))]


def judged_rows(network: Network, shown: Sequence[Shown], names: Sequence[str], budget: int) -> list[JudgedRow]:
    """Judge all tasks' fresh seeds and results, of the contenders that are named."""
    return [
        JudgedRow(one.task, name, budget, network.side, float(odds))
        for one in shown
        for name, odds in zip([*[""] * FRESH, *names], log_odds(network, one.pictures), strict=True)
    ]


def judged_table(rows: Sequence[JudgedRow], titles: Mapping[str, str]) -> str:
    """Compare what searches found with one fresh seed and with best-of-N's results on the same tasks, by each judge."""
    sides = sorted({row.side for row in rows}, reverse=True)
    odds = {(side, name): _by_task(rows, side, name) for side in sides for name in ("", *titles)}
    sds = {side: float(np.sqrt(odds[side, ""].var(axis=1, ddof=1).mean())) for side in sides}

    def gain(side: int, name: str, seeds: Array) -> str:
        return str(estimate((odds[side, name].mean(axis=1) - seeds.mean(axis=1)) / sds[side]))

    lines = [
        (
            title,
            *(gain(side, name, odds[side, ""]) for side in sides),
            *("" if name == BASELINE else gain(side, name, odds[side, BASELINE]) for side in sides),
        )
        for name, title in titles.items()
    ]
    against = [f"{over}, sd, {side} px" for over in ("over one seed", "over best-of-N") for side in sides]
    title = f"Naturalness at {rows[0].budget} trajectories by judges that are not searched"
    return table(title, ("strategy", *against), lines)


def agreement_table(rows: Sequence[JudgedRow], seeds: Sequence[FreshRow], aucs: Mapping[int, Sequence[float]]) -> str:
    """How well each judge tells pictures apart, and how its answers go with other figures of the same fresh seeds.

    Args:
        rows: Of all judges.
        seeds: The study's.
        aucs: By side: of truths against fresh seeds, and against each restart.
    """
    tasks = _tasks(rows)
    known = [columns(seeds, name) for name in COMPARED]
    others = [np.array([one[task][:FRESH] for task in tasks]) for one in known]
    lines = []
    for side, found in aucs.items():
        correlations = (_within(_by_task(rows, side, ""), one) for one in others)
        lines.append((f"{side} px", *(f"{auc:.3f}" for auc in found), *(f"{one:+.2f}" for one in correlations)))
    kinds = ("fresh seeds", *(f"restarts at step {step}" for step in RESTART_STEPS))
    head = ("judge", *kinds, *(f"with {title}" for title in COMPARED.values()))
    return table(
        "Judges of pictures that nobody selected: AUC of truths against them, correlation within tasks", head, lines
    )


def _tasks(rows: Sequence[JudgedRow]) -> list[int]:
    return sorted({row.task for row in rows})


def _by_task(rows: Sequence[JudgedRow], side: int, contender: str) -> Array:
    """Log-odds [tasks, pictures] by one judge."""
    found: dict[int, list[float]] = {one: [] for one in _tasks(rows)}
    for row in rows:
        if (row.side, row.contender) == (side, contender):
            found[row.task].append(row.log_odds)
    return np.array(list(found.values()))


def _within(some: Array, others: Array) -> float:
    """Correlation within tasks of figures [tasks, pictures]."""
    one, other = (array - array.mean(axis=1, keepdims=True) for array in (some, others))
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum()))


async def run(arguments: argparse.Namespace, runner: Runner) -> str:
    """Train the judges, or load what was trained, and judge; the tables."""
    contenders = _contenders(arguments.out)
    shown = await _shown(runner, contenders, arguments)
    encoders, first = Encoders(arguments.checkpoint), FIRST_SAMPLED + arguments.tested
    truths, finished = await _samples(runner, encoders, range(FIRST_SAMPLED, first), arguments.work_dir)
    samples = await _samples(runner, encoders, range(first, first + arguments.trained), arguments.work_dir)
    rows: list[JudgedRow] = []
    aucs: dict[int, list[float]] = {}
    for side in SIDES:
        network = _trained(samples, side, runner.oracle.pool.weights, arguments)
        drawn = log_odds(network, truths)
        aucs[side] = [area_under_roc(drawn, log_odds(network, one)) for one in np.moveaxis(finished, 1, 0)]
        print(f"judge of {side} px: AUC {', '.join(f'{auc:.3f}' for auc in aucs[side])}", file=sys.stderr)
        rows += judged_rows(network, shown, [one.name for one in contenders], arguments.budget)
    write_rows(arguments.out / f"held_out_judge_{arguments.budget}.csv", JudgedRow, rows)
    seeds = read_rows(arguments.out / "fresh.csv", FreshRow)
    titles = {one.name: one.title for one in contenders}
    return agreement_table(rows, seeds, aucs) + "\n\n" + judged_table(rows, titles)


def _trained(samples: tuple[Pictures, Pictures], side: int, weights: str, arguments: argparse.Namespace) -> Network:
    setting = f"{weights}-{arguments.tested}-{arguments.trained}-{arguments.epochs}-{side}"
    kept = arguments.work_dir / f"held_out_judge-{setting}.pt"
    if not kept.exists():
        partial_file = kept.with_suffix(".partial")
        torch.save(train(*samples, epochs=arguments.epochs, side=side).state_dict(), partial_file)
        partial_file.rename(kept)
    network = Network(side)
    network.load_state_dict(torch.load(kept, weights_only=True))
    return network.eval()


async def _shown(runner: Runner, contenders: Sequence[Contender], arguments: argparse.Namespace) -> list[Shown]:
    """Make the pictures that are judged, or read what was made."""
    compared = hashlib.sha256(repr([(one.name, one.setting) for one in contenders]).encode()).hexdigest()[:8]
    setting = f"{runner.oracle.pool.weights}-{arguments.tasks}-{arguments.budget}-{compared}"
    kept = arguments.work_dir / f"shown-{setting}.npz"
    if kept.exists():
        with np.load(kept) as arrays:
            return [
                Shown(int(one), pictures) for one, pictures in zip(arrays["tasks"], arrays["pictures"], strict=True)
            ]
    tasks = range(FIRST_STUDIED, FIRST_STUDIED + arguments.tasks)
    part = partial(shown_rows, contenders=contenders, budget=arguments.budget)
    shown = await runner.over_tasks("results to judge", tasks, part)
    _keep(kept, tasks=np.array([one.task for one in shown]), pictures=np.stack([one.pictures for one in shown]))
    return shown


def _keep(path: Path, **arrays: NDArray[np.generic]) -> None:
    partial_file = path.with_suffix(".partial.npz")
    np.savez(partial_file, allow_pickle=False, **arrays)
    partial_file.rename(path)


async def _samples(runner: Runner, encoders: Encoders, tasks: range, work_dir: Path) -> tuple[Pictures, Pictures]:
    """Make the truths and the finished pictures of tasks, or read what was made."""
    kept = work_dir / f"samples-{runner.oracle.pool.weights}-{tasks.start}-{len(tasks)}.npz"
    if kept.exists():
        with np.load(kept) as arrays:
            return arrays["truths"], arrays["finished"]
    rows = await runner.over_tasks("pictures to judge", tasks, sample_rows)
    truths = np.stack([row.truth for row in rows])
    decoded = [encoders.pictures(encoders.latents(truths[at : at + 25])) for at in range(0, len(truths), 25)]
    made = np.concatenate(decoded), np.stack([row.finished for row in rows])
    _keep(kept, truths=made[0], finished=made[1])
    return made


def _contenders(out: Path) -> tuple[Contender, ...]:
    """Return those of the study, with the settings that were chosen there."""
    trials = read_rows(out / "trials.csv", TrialRow)
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
    parser = argparse.ArgumentParser(description="Judge the study's results by networks that no search sees.")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "studio_mini" / "checkpoint")
    parser.add_argument("--model-repository", type=Path, default=ROOT / ".build" / "model_repository")
    parser.add_argument(
        "--work-dir", type=Path, default=ROOT / ".build" / "study", help="of the journal, pictures, judges"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "study", help="the study's tables; rows go there")
    parser.add_argument("--pool", type=Path, default=ROOT / "studies" / "pool.csv.gz", help="published scores")
    parser.add_argument("--budget", type=int, default=32, help="trajectories of the searches")
    parser.add_argument("--tasks", type=int, default=100, help="that were compared on")
    parser.add_argument("--trained", type=int, default=600, help="tasks that judges are trained on")
    parser.add_argument("--tested", type=int, default=150, help="tasks that their AUC is measured on")
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
