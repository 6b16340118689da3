"""A plot of a search's progress: candidates over the cost so far, lines from parents to children, and the best so far.

It also shows what the same compute is expected to reach without search: best-of-N of this search's own
fresh seeds, measured up to their number and extrapolated beyond it as for normal scores.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from eacps.client.record import CandidateRecord, CompleteSearch
from eacps.drawing.cards import ACCENT, FAINT, INK, PAPER
from eacps.drawing.lettering import font, write
from eacps.search.expectation import expected_maximum_of_normals

PLOT_WIDTH, PLOT_HEIGHT = 1240, 760
_OVERSAMPLED = 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 96, 40, 120, 92
_GRID = "#e3e6ea"
_MOVES = {
    "explore": ("fresh seed", "#8a94a3"),
    "spherical": ("spherical move", "#2f7ed8"),
    "crossover": ("cross-over", "#d9822b"),
    "restart": ("restart", "#c2453d"),
    "start": ("start point", "#3a8f5c"),
    "seed_offset": ("seed offset", "#8e5bd0"),
}
_WANTED_TICKS = 6


@dataclass(frozen=True)
class _Frame:
    """Maps spent trajectories and potentials to pixels of the oversampled picture."""

    most_spent: float
    low: float
    high: float

    def x(self, spent: float) -> float:
        return _OVERSAMPLED * (_LEFT + (PLOT_WIDTH - _LEFT - _RIGHT) * spent / self.most_spent)

    def y(self, potential: float) -> float:
        share = (potential - self.low) / (self.high - self.low)
        return _OVERSAMPLED * (PLOT_HEIGHT - _BOTTOM - (PLOT_HEIGHT - _TOP - _BOTTOM) * share)


def draw_search_plot(search: CompleteSearch) -> Image.Image:
    """Draw the plot: RGB, 1240 x 760.

    Args:
        search: A finished search. Candidates without a potential are left out.
    """
    scored = [candidate for candidate in search.candidates if candidate.potential is not None]
    expected = expected_curve(search)
    frame = _frame(search, scored, expected)
    canvas = Image.new("RGB", (PLOT_WIDTH * _OVERSAMPLED, PLOT_HEIGHT * _OVERSAMPLED), PAPER)
    pen = ImageDraw.Draw(canvas)
    _draw_grid(pen, frame)
    _draw_descent(pen, frame, search, scored)
    _draw_dashed(pen, [(frame.x(n), frame.y(value)) for n, value in expected], INK)
    pen.line(_steps(frame, scored), ACCENT, 3 * _OVERSAMPLED)
    _draw_candidates(pen, frame, search, scored)
    plot = canvas.resize((PLOT_WIDTH, PLOT_HEIGHT), Image.Resampling.LANCZOS)
    _write_words(ImageDraw.Draw(plot), search, frame, scored)
    return plot


def expected_curve(search: CompleteSearch) -> list[tuple[float, float]]:
    """Return what best-of-N is expected to reach: pairs of N and potential, up to what the search has spent.

    The values are unbiased measurements up to the number of fresh seeds. Beyond it the last measured gain grows as the
    maximum of N normals does. Empty if fewer than two seeds were measured.
    """
    measured = [(float(one.n), one.potential) for one in search.finished.statistics.expected_best]
    if len(measured) < 2:
        return []
    (_, mean), (last, reached) = measured[0], measured[-1]
    scale = (reached - mean) / expected_maximum_of_normals(round(last))
    end = max(one.spent for one in search.candidates)
    beyond = [n for power in range(1, 13) if last < (n := last * 2 ** (power / 4)) < end]
    extrapolated = [(n, min(1.0, mean + scale * expected_maximum_of_normals(round(n)))) for n in [*beyond, end]]
    return measured + [pair for pair in extrapolated if pair[0] > last]


def _frame(
    search: CompleteSearch, scored: Sequence[CandidateRecord], expected: Sequence[tuple[float, float]]
) -> _Frame:
    spent = max((one.spent for one in search.candidates), default=1.0)
    heights = [one.potential for one in scored if one.potential is not None] + [value for _, value in expected]
    low, high = min(heights, default=0.0), max(heights, default=1.0)
    room = max(0.02, 0.08 * (high - low))
    return _Frame(1.04 * max(spent, 1.0), max(0.0, low - room), min(1.02, high + room))


def _draw_grid(pen: ImageDraw.ImageDraw, frame: _Frame) -> None:
    for value in ticks(frame.low, frame.high):
        pen.line((frame.x(0), frame.y(value), frame.x(frame.most_spent), frame.y(value)), _GRID, _OVERSAMPLED)
    for spent in ticks(0.0, frame.most_spent):
        pen.line((frame.x(spent), frame.y(frame.low), frame.x(spent), frame.y(frame.high)), _GRID, _OVERSAMPLED)


def _draw_descent(
    pen: ImageDraw.ImageDraw, frame: _Frame, search: CompleteSearch, scored: Sequence[CandidateRecord]
) -> None:
    """Draw lines from parents to children; those of the winner's ancestors last, on top."""
    points = {one.id: (frame.x(one.spent), frame.y(one.potential or 0.0)) for one in scored}
    ancestry = set(search.finished.lineage)
    pairs = [(parent, one.id) for one in scored for parent in one.parents if parent in points]
    for parent, child in sorted(pairs, key=lambda pair: set(pair) <= ancestry):
        highlighted = {parent, child} <= ancestry
        color, width = (ACCENT, 2) if highlighted else ("#cfd6df", 1)
        pen.line((*points[parent], *points[child]), color, width * _OVERSAMPLED)


def _draw_candidates(
    pen: ImageDraw.ImageDraw, frame: _Frame, search: CompleteSearch, scored: Sequence[CandidateRecord]
) -> None:
    for one in scored:
        x, y = frame.x(one.spent), frame.y(one.potential or 0.0)
        best = one.id == search.finished.best_candidate_id
        radius = (9 if best else 5) * _OVERSAMPLED
        fill = _MOVES.get(one.move, _MOVES["explore"])[1]
        outline, width = (ACCENT, 3 * _OVERSAMPLED) if best else (PAPER, _OVERSAMPLED)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill, outline, width)


def _steps(frame: _Frame, scored: Sequence[CandidateRecord]) -> list[tuple[float, float]]:
    """Return the corners of the best so far as a staircase."""
    corners: list[tuple[float, float]] = []
    best = -math.inf
    for one in scored:
        if (one.potential or 0.0) > best:
            if corners:
                corners.append((frame.x(one.spent), frame.y(best)))
            best = one.potential or 0.0
            corners.append((frame.x(one.spent), frame.y(best)))
    if corners:
        corners.append((frame.x(scored[-1].spent), corners[-1][1]))
    return corners


def _draw_dashed(pen: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], color: str) -> None:
    """Draw a dashed line, 8 pixels on and 6 off, without a break at the points."""
    on, off, at = 8.0 * _OVERSAMPLED, 6.0 * _OVERSAMPLED, 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0)
        offset = 0.0
        while offset < length:
            phase = (at + offset) % (on + off)
            step = min(length - offset, (on if phase < on else on + off) - phase)
            if phase < on:
                a, b = offset / length, (offset + step) / length
                ends = (x0 + a * (x1 - x0), y0 + a * (y1 - y0), x0 + b * (x1 - x0), y0 + b * (y1 - y0))
                pen.line(ends, color, 2 * _OVERSAMPLED)
            offset += max(step, 1e-6)
        at += length


def _write_words(
    pen: ImageDraw.ImageDraw, search: CompleteSearch, frame: _Frame, scored: Sequence[CandidateRecord]
) -> None:
    best, spent = search.finished.statistics.best_potential, search.finished.statistics.denoiser_evaluations
    write(pen, (_LEFT, 26), f"Best potential {best:.3f}", 28, INK, bold=True)
    write(pen, (_LEFT, 66), f"{len(scored)} candidates, {spent} denoiser evaluations", 17, FAINT)
    _write_legend(pen, {one.move for one in scored})
    for value in ticks(frame.low, frame.high):
        write(pen, (_LEFT - 10, frame.y(value) / _OVERSAMPLED - 9), f"{value:g}", 16, FAINT, right=True)
    for value in ticks(0.0, frame.most_spent):
        x = frame.x(value) / _OVERSAMPLED
        write(pen, (x - font(16).getlength(f"{value:g}") / 2, PLOT_HEIGHT - _BOTTOM + 8), f"{value:g}", 16, FAINT)
    write(pen, (_LEFT, PLOT_HEIGHT - 44), "cost so far in whole trajectories; upwards: potential", 16, FAINT)


def _write_legend(pen: ImageDraw.ImageDraw, moves: set[str]) -> None:
    entries = [(words, color, True) for move, (words, color) in _MOVES.items() if move in moves]
    entries += [("best so far", ACCENT, False), ("best-of-N, expected", INK, False)]
    right = float(PLOT_WIDTH - _RIGHT)
    for words, color, dot in reversed(entries):
        right -= font(16).getlength(words)
        write(pen, (right, 68), words, 16, FAINT)
        if dot:
            pen.ellipse((right - 18, 72, right - 8, 82), color)
        else:
            pen.line((right - 26, 77, right - 8, 77), color, 3)
        right -= 42


def ticks(low: float, high: float) -> list[float]:
    """Return about six round numbers from ``low`` to ``high``."""
    raw = (high - low) / _WANTED_TICKS
    scale = 10.0 ** math.floor(math.log10(raw))
    step = scale * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * scale >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]
