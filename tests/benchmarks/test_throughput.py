"""A small benchmark, whole: both ways over the same edits, and the figures that come of it."""

import json
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from benchmarks import machine
from benchmarks.edits import drawn_edits
from benchmarks.outcome import SCORERS
from benchmarks.plain import PlainEditor
from benchmarks.report import WAYS, Settings, make_report, print_report, write_report
from benchmarks.throughput import Alternation, run, searches, with_faces
from eacps.models.checkpoint_config import UnsupportedCheckpoint
from eacps.triton.embedded import EmbeddedTriton

SETTINGS = Settings("studio-mini", candidates=2, steps=2, micro_batch=2, repetitions=1)


@pytest.fixture(scope="module")
def plain(checkpoint_dir: Path) -> Iterator[PlainEditor]:
    threads = torch.get_num_threads()
    yield PlainEditor(checkpoint_dir, steps=SETTINGS.steps, threads=1)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def report(plain: PlainEditor, triton: EmbeddedTriton, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command writes, of one repetition."""
    with searches(triton, SETTINGS) as search:
        edits = with_faces(drawn_edits(SETTINGS.candidates), plain.faces)
        alternation = Alternation(plain, search, edits, triton.metrics_url)
        windows = alternation.repeat(0)
    path = tmp_path_factory.mktemp("bench") / "throughput.json"
    write_report(make_report(windows, SETTINGS, alternation.agreement, machine.describe(cores=1)), path)
    return json.loads(path.read_text())


def test_every_way_has_a_speed(report: dict[str, Any]) -> None:
    assert set(report["candidates_per_s"]) == set(WAYS)
    assert all(speed > 0 for speed in report["candidates_per_s"].values())
    assert all(len(each) == 1 for each in report["candidates_per_s_of_each_window"].values())


def test_ratios_are_those_of_the_speeds(report: dict[str, Any]) -> None:
    speeds = report["candidates_per_s"]
    for other in ("diffusers_loop", "diffusers_batched"):
        assert report[f"ratio_eacps_4_vs_{other}"] == pytest.approx(speeds["eacps_4"] / speeds[other])


def test_the_ways_did_the_same_work(report: dict[str, Any]) -> None:
    agreement = report["agreement"]
    # Priors and candidates of the edit done every way, and prior and best of each search side by side.
    assert agreement["pictures"] == (1 + 2) + (1 + 1) + 4 * 2
    assert agreement["scores"] == len(SCORERS) * (2 + 2 + 4)


def test_triton_says_how_large_the_denoisers_batches_were(report: dict[str, Any]) -> None:
    assert report["mean_denoiser_batch"]["eacps_1"] == SETTINGS.candidates
    assert report["mean_denoiser_batch"]["eacps_4"] >= SETTINGS.candidates
    for way in ("eacps_1", "eacps_4"):
        assert report["triton_per_candidate"][way]["denoiser"]["rows"] == SETTINGS.steps


def test_time_is_told_by_stage_and_by_process(report: dict[str, Any]) -> None:
    for way in WAYS:
        assert set(report["stages_ms_per_candidate"][way]) == {"prepare", "generate", "score"}
        assert report["processor_ms_per_candidate"][way]["total"] > 0
    assert "denoiser" in report["processor_ms_per_candidate"]["eacps_4"]


def test_the_machine_is_described_without_its_name(report: dict[str, Any]) -> None:
    assert {"processor", "cores_used", "memory_gib", "packages"} <= set(report["machine"])
    # The local part, +cpu or +cu130, is in the wheel's name on some indexes only.
    assert report["machine"]["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_figures_are_printed_for_people(report: dict[str, Any]) -> None:
    console = Console(record=True, width=120)
    print_report({**report, "quiet": False}, console)
    text = console.export_text()
    assert all(way in text for way in WAYS)
    assert "not a quiet machine" in text


def test_a_checkpoint_of_another_backbone_is_refused(klein_checkpoint_dir: Path) -> None:
    with pytest.raises(UnsupportedCheckpoint, match=r"is for flux2_klein; the plain code .* is for qwen_image_edit"):
        run(Namespace(checkpoint=klein_checkpoint_dir), Console())
