import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from rich.console import Console

from eacps.cli.files import make_folder
from eacps.cli.outcome import CommandFailed
from eacps.cli.report import FILES, PLOT, WORKING, files_of, result_json, write_report
from eacps.cli.summary import print_summary
from eacps.v1 import search_service_pb2 as pb
from tests.cli import searches


def test_the_result_tells_the_whole_search() -> None:
    result = result_json(searches.complete(), searches.request())
    assert json.loads(json.dumps(result)) == result
    assert result["best"]["id"] == "g1-000"
    assert result["best"]["lineage"] == ["g1-000", "g0-002"]
    assert result["best"]["evaluation"]["scores"] == {"identity": 0.80, "prompt": 0.75, "realism": 0.70}
    assert result["gain"]["over_first_seed"] == pytest.approx(0.76 - 0.37)
    assert result["gain"]["over_prior"] == pytest.approx(0.76 - 0.375)
    assert result["timings_s"] == {"generate": 3.5, "prepare": 0.25, "score": 1.25, "total": 4.0}
    assert set(result["versions"]) == {"eacps", "checkpoint", "noise", "triton"}
    assert result["noise_shape"] == [16, 16, 16]
    assert (result["statistics"]["failed"], result["statistics"]["incomplete"]) == (1, 1)


def test_counts_of_nothing_are_told_as_zero() -> None:
    search = searches.complete([searches.candidate("g0-000", (0.5, 0.5, 0.5))])
    statistics = result_json(search, searches.request())["statistics"]
    assert (statistics["failed"], statistics["denoiser_evaluations"]) == (0, 0)


def test_every_candidate_carries_what_replays_and_explains_it() -> None:
    candidates = {one["id"]: one for one in result_json(searches.complete(), searches.request())["candidates"]}
    assert len(candidates) == len(searches.CANDIDATES)
    child = candidates["g1-000"]
    assert child["parents"] == ["g0-002"]
    assert child["move"] == "spherical"
    assert sum(term["coefficient"] ** 2 for term in child["recipe"]) == pytest.approx(1.0)
    assert "picture_sha256" not in child, "one hash a picture: its artifact"
    assert candidates["g0-001"]["failure"] == "the sampler ran out of memory"
    assert candidates["g0-001"]["evaluation"] is None
    assert candidates["g0-003"]["evaluation"]["missing"] == {"prompt": "timed out"}


def test_the_request_is_told_with_the_servers_defaults_and_without_pictures() -> None:
    request = searches.request(mask=True)
    told = result_json(searches.complete(), request)["request"]
    assert told["prompt"] == "make the person smile"
    assert told["search"] == {"eacps": {"global_candidates": 4}, "random_seed": 7}
    assert told["steps"] == 8
    assert told["weights"] == searches.WEIGHTS
    assert told["pictures"]["mask"]["bytes"] == len(request.mask.data)
    assert told["pictures"]["scene"]["sha256"] == hashlib.sha256(request.scene.data).hexdigest()


def test_gains_over_what_could_not_be_scored_are_not_known() -> None:
    failed_first = [searches.candidate("g0-000", None), searches.candidate("g0-001", (0.5, 0.5, 0.5))]
    result = result_json(searches.complete(failed_first), searches.request())
    assert result["gain"]["over_first_seed"] is None
    assert result["gain"]["over_prior"] is not None


def test_files_of_an_earlier_search_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("old")
    search, request = searches.complete(), searches.request()
    written = write_report(search, request, tmp_path)
    assert json.loads((tmp_path / "result.json").read_text()) == written
    assert (tmp_path / "best.png").read_bytes() == search.finished.best.data


def test_a_result_pasted_back_is_the_best_picture_and_the_other_one_is_kept_beside_it(tmp_path: Path) -> None:
    search, request = searches.complete(), searches.request()
    search.finished.delivered.data = searches.picture(120, size=(400, 300))
    search.prior.frame.CopyFrom(pb.Box(left=50, top=0, right=350, bottom=300))
    assert write_report(search, request, tmp_path)["frame"] == [50, 0, 350, 300]
    assert (tmp_path / "best.png").read_bytes() == search.finished.delivered.data
    assert (tmp_path / WORKING).read_bytes() == search.finished.best.data
    assert files_of(search, plot=False) == ("best.png", *FILES, WORKING)
    search.finished.delivered.data = search.finished.best.data + b"a record after the pixels"
    search.prior.frame.CopyFrom(pb.Box(left=0, top=0, right=128, bottom=96))
    write_report(search, request, tmp_path)
    assert (tmp_path / "best.png").read_bytes() == search.finished.delivered.data
    assert not (tmp_path / WORKING).exists()
    assert files_of(search, plot=True) == ("best.png", *FILES, PLOT)


def test_layers_are_written_beside_the_result_and_removed_where_there_are_none(tmp_path: Path) -> None:
    search, request = searches.complete(), searches.request()
    layers = {"plate": searches.picture(1), "patch": searches.picture(2), "matte": searches.picture(3)}
    with_layers = replace(search, layers=layers)
    write_report(with_layers, request, tmp_path)
    for name, data in layers.items():
        assert (tmp_path / f"best_{name}.png").read_bytes() == data
        assert f"best_{name}.png" in files_of(with_layers, plot=False)
    write_report(search, request, tmp_path)
    assert not list(tmp_path.glob("best_*"))


def test_a_result_in_another_format_has_its_suffix(tmp_path: Path) -> None:
    search, request = searches.complete(), searches.request()
    write_report(search, request, tmp_path)
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((96, 128, 3), np.uint16), photometric="rgb")
    search.finished.delivered.data = file.getvalue()
    write_report(search, request, tmp_path)
    assert (tmp_path / "best.tif").read_bytes() == file.getvalue()
    assert not (tmp_path / "best.png").exists()


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandFailed, match="file/out"):
        make_folder(tmp_path / "file" / "out")


def test_the_result_says_why_it_ended_what_it_took_and_what_it_gained_by_scorer() -> None:
    result = result_json(searches.complete(), searches.request())
    assert result["stop_reason"] == "wall_time"
    assert result["spent"] == {"denoiser_evaluations": 48, "pictures": 6, "vlm_calls": 3, "wall_time_s": 4.0}
    assert result["gain_by_scorer"]["verifier"] == {"scorer": "verifier", "held_out": True, "over_first": 0.125}
    assert result["pareto_front"] == [result["best"]["id"]]
    assert result["diversity"] == {"spread": 0.1}


def test_the_summary_tells_of_the_held_out_gain_and_of_an_early_end() -> None:
    console = Console(record=True, width=120)
    print_summary(searches.complete(), console)
    told = console.export_text()
    assert "verifier, which was not searched: +0.125 over the first seed" in told
    assert "the search stopped early: its time was up" in told


def test_scores_at_the_end_of_their_scale_are_marked() -> None:
    search = searches.complete([searches.candidate("g0-000", (0.5, 0.996, 0.5))])
    console = Console(record=True, width=160)
    print_summary(search, console)
    assert "0.996*" in console.export_text()
    assert result_json(search, searches.request())["best"]["evaluation"]["saturated"] == ["prompt"]
