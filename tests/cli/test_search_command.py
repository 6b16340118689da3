"""``eacps search`` against a real server over the toy landscape: options, files, output, exit codes."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme
from PIL import Image

from eacps.api import KeyRing, ServerTls
from eacps.imaging import encode_png
from eacps.testing import ToyModels
from tests.cli import searches
from tests.cli.conftest import toy_server
from tests.evaluation.colored import COLORS, ColoredModels

Eacps = Callable[..., Any]
PROMPT = ("--prompt", "make the person smile")
SMALL = ("--global-candidates", 4, "--parents", 2, "--children", 2, "--micro-batch", 3)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


def test_a_search_writes_its_files_and_says_what_it_gained(
    eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "out"
    result = eacps("search", *pictures, *PROMPT, *SMALL, "--seed", 3, "--server", toy, "--out", out)
    assert result.exit_code == 0, result.output
    names = ["best.png", "best_working.png", "contact_sheet.png", "result.json"]
    assert sorted(file.name for file in out.iterdir()) == names
    assert size_of(out / "best.png") == (128, 128), "as the scene"
    assert size_of(out / "best_working.png") == (32, 32)
    assert size_of(out / "contact_sheet.png")[0] > 1000
    written = json.loads((out / "result.json").read_text())
    assert len(written["candidates"]) == 8
    assert "over the first seed" in result.stdout
    assert f"{written['gain']['over_first_seed']:+.3f}" in result.stdout
    assert "exploration: mean" in result.stderr
    assert "wrote best.png" in result.stderr


def test_json_leaves_standard_output_to_the_machine(
    eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path
) -> None:
    result = eacps(
        "search", *pictures, *PROMPT, *SMALL, "--server", toy, "--overwrite", "--out", tmp_path / "o", "--json"
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((tmp_path / "o" / "result.json").read_text())


def test_the_same_seed_asks_for_the_same_noise(
    eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path
) -> None:
    command = (
        "search",
        *pictures,
        *PROMPT,
        *SMALL,
        "--seed",
        11,
        "--server",
        toy,
        "--overwrite",
        "--out",
        tmp_path / "o",
        "--json",
    )
    first, second = (json.loads(eacps(*command).stdout) for _ in range(2))
    assert first["candidates"] == second["candidates"]
    assert first["search_id"] != second["search_id"]


def test_a_server_with_tls_is_searched_by_who_trusts_it(
    eacps: Eacps, pictures: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = trustme.CA()
    issued, root = ca.issue_cert("127.0.0.1"), tmp_path / "root.pem"
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    ca.cert_pem.write_to_path(str(root))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    with toy_server(tls=ServerTls(certificate, key)) as server:
        command = (
            "search",
            *pictures,
            *PROMPT,
            *SMALL,
            "--server",
            server,
            "--overwrite",
            "--out",
            tmp_path / "o",
            "--timeout",
            10,
        )
        assert eacps(*command, "--tls-ca", root).exit_code == 0
        assert eacps(*command, "--tls-ca", "system").exit_code in (3, 5)
        monkeypatch.setenv("EACPS_SERVER_TLS_CA", str(root))
        assert eacps(*command).exit_code == 0


def test_a_server_with_keys_is_searched_with_one(
    eacps: Eacps, pictures: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.json"
    key = eacps("key", "studio", "--api-keys", file).stdout.strip()
    with toy_server(keys=KeyRing.read(file)) as server:
        command = (
            "search",
            *pictures,
            *PROMPT,
            *SMALL,
            "--server",
            server,
            "--overwrite",
            "--out",
            tmp_path / "o",
            "--json",
        )
        refused = eacps(*command)
        assert refused.exit_code == 2
        assert json.loads(refused.stdout)["error"]["code"] == "UNAUTHENTICATED"
        monkeypatch.setenv("EACPS_API_KEY", key)
        assert eacps(*command).exit_code == 0


def test_a_plot_is_drawn_where_asked(eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path) -> None:
    command = ("search", *pictures, *PROMPT, *SMALL, "--server", toy, "--overwrite", "--out", tmp_path / "o")
    assert "search.png" in eacps(*command, "--plot").stderr
    assert size_of(tmp_path / "o" / "search.png")[0] > 1000
    assert eacps(*command).exit_code == 0
    assert not (tmp_path / "o" / "search.png").exists(), "the plot of an earlier search"


def test_budget_and_potential_reach_the_server(
    eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path
) -> None:
    result = eacps(
        *("search", *pictures, *PROMPT, "--server", toy, "--overwrite", "--out", tmp_path / "o", "--json"),
        *("--trajectories", 40, "--steps", 4, "--scalarization", "geometric-mean"),
        *("--max-evaluations", 44, "--max-pictures", 30, "--max-vlm-calls", 9, "--max-seconds", 50, "--target", 0.999),
        *("--min-gain", 1e-9),
        *("--weight", "brightness=1", "--floor", "brightness=0.2", "--held-out", "other"),
    )
    written = json.loads(result.stdout)
    assert written["statistics"]["denoiser_evaluations"] == 44
    asked = written["request"]
    assert asked["scalarization"] == "SCALARIZATION_GEOMETRIC_MEAN"
    assert asked["budget"] == {
        "denoiser_evaluations": "44",
        "pictures": 30,
        "vlm_calls": 9,
        "wall_time": "50s",
        "target_potential": 0.999,
        "min_gain_per_trajectory": 1e-9,
    }
    assert all("other" in one["evaluation"]["scores"] for one in written["candidates"])


def test_options_reach_the_server(eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path) -> None:
    result = eacps(
        *("search", *pictures, *PROMPT, "--server", toy, "--overwrite", "--out", tmp_path / "o", "--json"),
        *("--strategy", "best-of-n", "--trajectories", 5, "--first-seed", 77, "--steps", 6),
        *("--weight", "other=2", "--weight", "brightness=6", "--negative-prompt", "blur", "--true-cfg-scale", 3),
        "--prior-alone",
    )
    written = json.loads(result.stdout)
    assert len(written["candidates"]) == 5
    assert {candidate["move"] for candidate in written["candidates"]} == {"explore"}
    first = next(one for one in written["candidates"] if one["id"] == "g0-000")
    assert first["recipe"] == [{"seed": 77, "coefficient": 1.0}]
    asked = written["request"]
    assert asked["weights"] == {"brightness": 0.75, "other": 0.25}
    assert asked["steps"] == 6
    assert asked["negative_prompt"] == "blur"
    assert asked["sampler"] == {"steps": 6, "true_cfg_scale": 3.0, "character_as_reference": False}
    assert set(asked["pictures"]) == {"scene", "character"}
    assert written["statistics"]["denoiser_evaluations"] == 5 * 6 * 2


def test_faults_of_the_request_are_all_named(eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path) -> None:
    asked = ("search", *pictures, "--prompt", " ", "--angle", 9, "--weight", "beauty=1")
    result = eacps(*asked, "--server", toy, "--overwrite", "--out", tmp_path / "o", "--json")
    assert result.exit_code == 2
    error = json.loads(result.stdout)["error"]
    assert error["code"] == "INVALID_ARGUMENT"
    assert [violation["field"] for violation in error["violations"]] == [
        "search.eacps.spherical.angle",
        "scorers[0].name",
        "prompt",
    ]
    for violation in error["violations"]:
        assert violation["description"] in " ".join(result.stderr.split())


def test_a_file_that_is_no_picture_is_the_callers_fault(
    eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a picture")
    result = eacps("search", text, pictures[1], *PROMPT, "--server", toy, "--overwrite", "--out", tmp_path / "o")
    assert result.exit_code == 2
    assert "scene.data" in result.stderr


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--steps", str(2**31)), "--steps"),
        (("--seed", str(2**32)), "--seed"),
        (("--weight", "identity"), "--weight"),
        (("--weight", "identity=much"), "--weight"),
        (("--weight", "a=1", "--weight", "a=2"), "--weight"),
        (("--ask", "triton.no_hat"), "--ask"),
        (("--ask", "triton.a=Is it?", "--ask", "triton.a=Is it so?"), "--ask"),
        (("--strategy", "guessing"), "--strategy"),
        (("--strategy", "best-of-n", "--angle", "0.5"), "--angle is no option of --strategy best-of-n"),
        (("--mask", "absent.png"), "--mask"),
        (("--timeout", "0"), "--timeout"),
    ],
)
def test_malformed_options_end_before_anything_starts(
    eacps: Eacps, pictures: tuple[str, str], words: tuple[str, ...], named: str
) -> None:
    result = eacps("search", *pictures, *PROMPT, *words)
    assert result.exit_code == 2
    assert named in result.stderr
    assert result.stdout == ""


def test_nobody_at_the_address_is_the_servers_turn(eacps: Eacps, pictures: tuple[str, str], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{free.getsockname()[1]}"
        result = eacps(
            "search", *pictures, *PROMPT, "--server", server, "--overwrite", "--out", tmp_path / "o", "--json"
        )
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"]["code"] == "UNAVAILABLE"
    assert server in result.stderr


def test_a_proxy_of_the_environment_does_not_stand_before_this_machine(
    eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    result = eacps("search", *pictures, *PROMPT, *SMALL, "--server", toy, "--overwrite", "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output


def test_no_face_is_the_callers_fault(eacps: Eacps, pictures: tuple[str, str], tmp_path: Path) -> None:
    with toy_server(models=ToyModels(sees_faces=False)) as server:
        result = eacps("search", *pictures, *PROMPT, "--server", server, "--overwrite", "--out", tmp_path / "o")
    assert result.exit_code == 2
    assert "no face found in scene" in result.stderr


def test_a_passed_deadline_has_a_code_of_its_own(eacps: Eacps, pictures: tuple[str, str], tmp_path: Path) -> None:
    with toy_server(models=ToyModels(duration_s=30.0)) as server:
        asked = (
            "search",
            *pictures,
            *PROMPT,
            "--server",
            server,
            "--overwrite",
            "--out",
            tmp_path / "o",
            "--timeout",
            0.5,
        )
        result = eacps(*asked)
    assert result.exit_code == 5
    assert "--timeout" in result.stderr


def test_a_folder_that_cannot_be_written_is_seen_first(
    eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    result = eacps("search", *pictures, *PROMPT, "--server", toy, "--out", tmp_path / "file" / "out")
    assert result.exit_code == 2
    assert "cannot write" in result.stderr


def test_a_missing_model_repository_says_what_builds_it(
    eacps: Eacps, pictures: tuple[str, str], tmp_path: Path
) -> None:
    asked = ("search", *pictures, *PROMPT, "--overwrite", "--out", tmp_path / "o", "--json")
    result = eacps(*asked, "--model-repository", tmp_path / "absent")
    assert result.exit_code == 4
    assert "make model-repository" in json.loads(result.stdout)["error"]["message"]


def test_a_faulty_request_does_not_start_an_embedded_server(
    eacps: Eacps, pictures: tuple[str, str], tmp_path: Path
) -> None:
    asked = (
        "search",
        *pictures,
        "--prompt",
        "",
        "--overwrite",
        "--out",
        tmp_path / "o",
        "--model-repository",
        tmp_path / "absent",
    )
    result = eacps(*asked)
    assert result.exit_code == 2
    assert "prompt" in result.stderr


def test_a_wide_scene_is_written_whole_beside_the_picture_as_it_was_made(
    eacps: Eacps, toy: str, tmp_path: Path
) -> None:
    scene, character = tmp_path / "scene.png", tmp_path / "character.png"
    scene.write_bytes(searches.picture(10, size=(320, 200)))
    character.write_bytes(searches.picture(100))
    out = tmp_path / "out"
    command = ("search", scene, character, *PROMPT, *SMALL, "--server", toy, "--overwrite", "--out", out, "--json")
    whole = eacps(*command, "--framing", "whole")
    assert whole.exit_code == 0, whole.output
    assert size_of(out / "best.png") == (320, 200)
    assert size_of(out / "best_working.png") == (32, 32)
    result = json.loads(whole.stdout)
    assert result["frame"] == [60, 0, 260, 200]
    assert result["request"]["framing"] == "FRAMING_WHOLE"
    scene.write_bytes(searches.picture(10, size=(32, 32)))
    assert eacps(*command).exit_code == 0
    assert not (out / "best_working.png").exists()
    refused = eacps(*command, "--framing", "half")
    assert refused.exit_code == 2


def test_a_result_too_large_for_a_message_is_fetched(eacps: Eacps, tmp_path: Path) -> None:
    scene, character = tmp_path / "scene.png", tmp_path / "character.png"
    grain = np.random.default_rng(1).integers(90, 170, (1000, 1000, 3), np.uint8)
    grain[600:700, 600:700] = COLORS[0]
    scene.write_bytes(encode_png(grain))
    character.write_bytes(searches.picture(100))
    with toy_server(models=ColoredModels()) as server:
        command = (
            "search",
            scene,
            character,
            *PROMPT,
            *SMALL,
            "--server",
            server,
            "--overwrite",
            "--out",
            tmp_path / "out",
        )
        result = eacps(*command, "--json")
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        again = tmp_path / "again.png"
        done = eacps("render", found["search_id"], found["best"]["id"], again, "--server", server)
        assert done.exit_code == 0, done.output
    assert size_of(tmp_path / "out" / "best.png") == size_of(again) == (1000, 1000)
    with Image.open(tmp_path / "out" / "best.png") as best, Image.open(again) as made:
        assert best.tobytes() == made.tobytes()


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-1", "1e30"])
def test_seconds_that_cannot_be_meant_are_refused(eacps: Eacps, seconds: str) -> None:
    result = eacps("search", "scene.png", "character.png", "--prompt", "smile", "--max-seconds", seconds)
    assert result.exit_code == 2
    assert "is not above 0" in " ".join(result.output.split())
