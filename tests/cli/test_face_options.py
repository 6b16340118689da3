"""Faces and further pictures on the command line, to the request that a server gets."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eacps.cli.face_options import FaceOptions, face_fields, parse_face, parse_prior
from eacps.client import Client
from eacps.v1 import search_service_pb2 as pb
from tests.cli.searches import picture

Eacps = Callable[..., Any]
PROMPT = ("--prompt", "smile")
SMALL = ("--global-candidates", 4, "--parents", 1, "--children", 2, "--seed", 5)


@pytest.fixture
def others(tmp_path: Path) -> list[str]:
    """Files of further pictures."""
    files = [tmp_path / name for name in ("one.png", "two.png", "three.png")]
    for place, file in enumerate(files):
        file.write_bytes(picture(60 + place))
    return [str(file) for file in files]


def test_a_face_is_a_number_a_box_or_a_picture(others: list[str]) -> None:
    assert parse_face("3") == 3
    assert parse_face("10,20.5,30,1e2") == pb.Box(left=10, top=20.5, right=30, bottom=100)
    assert parse_face("-1,0,5,5") == pb.Box(left=-1, right=5, bottom=5)
    assert parse_face(others[0]) == Path(others[0])


def test_a_picture_may_be_called_like_a_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("1,2,3,4").write_bytes(picture(1))
    assert parse_face("1,2,3,4") == Path("1,2,3,4")


@pytest.mark.parametrize(
    "text", ["", "-1", "1.5", "1,2,3", "1,2,3,4,5", "1,2,3,nan", "a,b,c,d", "nobody.png", "9" * 11]
)
def test_anything_else_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number, a box LEFT,TOP,RIGHT,BOTTOM in pixels, or a file"):
        parse_face(text)


def test_a_prior_is_swapped_in_left_out_or_a_picture(others: list[str]) -> None:
    made = {text: face_fields(FaceOptions(prior=text))["prior"] for text in ("swap", "none", others[0])}
    assert [prior.WhichOneof("by") for prior in made.values()] == ["swap", "none", "given"]
    assert made[others[0]].given.data == Path(others[0]).read_bytes()
    with pytest.raises(ValueError, match="is not swap, none or a file"):
        parse_prior("nobody.png")


@pytest.mark.parametrize("kind", ["swap", "none", "given"])
def test_a_search_reports_how_its_prior_was_made(
    eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path, kind: str
) -> None:
    asked = pictures[0] if kind == "given" else kind
    words = ("--prior", asked, "--server", toy, "--overwrite", "--out", tmp_path / "out", "--json")
    done = eacps("search", *pictures, *PROMPT, *SMALL, *words)
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["prior"]["mode"] == kind
    assert list(result["request"]["prior"]) == [kind]
    said = {"swap": "the face is swapped in", "none": "the scene itself", "given": "the given picture"}
    assert f"prior: {said[kind]}, potential" in done.stderr


def test_fields_are_those_of_a_request(others: list[str]) -> None:
    fields = face_fields(FaceOptions("1", "1,2,3,4", [Path(others[0])], [Path(others[1])]))
    request = pb.RunSearchRequest(**fields)
    assert request.scene_face.index == 1
    assert request.character_face.box == pb.Box(left=1, top=2, right=3, bottom=4)
    assert [len(request.more_characters), len(request.references)] == [1, 1]
    assert pb.ScoreImagesRequest(**face_fields(FaceOptions("0"))).HasField("scene_face")
    assert pb.RunSearchRequest(**face_fields(FaceOptions())) == pb.RunSearchRequest()


def test_a_search_is_asked_for_and_reported_with_all_of_it(
    eacps: Eacps, toy: str, pictures: tuple[str, str], others: list[str], tmp_path: Path
) -> None:
    words = ("--scene-face", others[0], "--character-face", "1,2,90,91", "--reference", others[2])
    words += ("--more-character", others[1], "--more-character", others[2])
    submitted = eacps("submit", *pictures, *PROMPT, *SMALL, *words, "--server", toy)
    assert submitted.exit_code == 0, submitted.stderr
    search_id = submitted.stdout.strip()
    with Client(toy) as client:
        kept = client.get(search_id).request
        assert client.download(kept.scene_face.likeness.artifact) == Path(others[0]).read_bytes()
    assert kept.character_face.box == pb.Box(left=1, top=2, right=90, bottom=91)
    assert [one.artifact for one in kept.references] == [kept.more_characters[1].artifact]
    done = eacps("watch", search_id, "--server", toy, "--overwrite", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    names = [
        "scene",
        "character",
        "scene_face.likeness",
        "more_characters[0]",
        "more_characters[1]",
        "references[0]",
    ]
    assert list(result["request"]["pictures"]) == names
    assert result["request"]["pictures"]["references[0]"]["sha256"] == kept.references[0].artifact
    assert "data" not in json.dumps(result["request"])
    again = tmp_path / "again.png"
    made = eacps("render", search_id, result["best"]["id"], again, "--server", toy)
    assert made.exit_code == 0, made.stderr
    with Image.open(again) as rendered, Image.open(tmp_path / "out" / "best.png") as best:
        assert rendered.tobytes() == best.tobytes()


def test_scoring_takes_faces_too(eacps: Eacps, toy: str, pictures: tuple[str, str], others: list[str]) -> None:
    words = ("--scene-face", "0", "--character-face", others[0], "--more-character", others[1])
    done = eacps("score", *pictures, others[2], *PROMPT, *words, "--server", toy)
    assert done.exit_code == 0, done.stderr
    assert "three.png" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scene-face", "left"), "not a number, a box"),
        (("--character-face", "1,2,3"), "not a number, a box"),
        (("--prior", "nobody.png"), "is not swap, none or a file"),
        (("--more-character", "nobody.png"), "nobody.png"),
        (("--reference", "nobody.png"), "nobody.png"),
        (("--scene-face", "1000"), "scene_face.index"),
        (("--scene-face", "8"), "1 face found in scene, not the one asked for"),
        (("--scene-face", "5,5,5,9"), "scene_face.box"),
        (("--scene-face", "500,500,600,600"), "none of them in the box"),
    ],
)
def test_what_is_at_fault_is_named_with_status_2(
    eacps: Eacps, toy: str, pictures: tuple[str, str], tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = eacps(
        "search", *pictures, *PROMPT, *SMALL, *words, "--server", toy, "--overwrite", "--out", tmp_path / "out"
    )
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", " ").split())


def test_more_pictures_than_the_model_sees_are_refused_with_status_2(
    eacps: Eacps, toy: str, pictures: tuple[str, str], others: list[str], tmp_path: Path
) -> None:
    words = [word for file in others[:2] for word in ("--reference", file)]
    done = eacps(
        "search",
        *pictures,
        *PROMPT,
        *SMALL,
        *words,
        "--server",
        toy,
        "--overwrite",
        "--out",
        tmp_path / "out",
        "--json",
    )
    assert done.exit_code == 2
    (violation,) = json.loads(done.stdout)["error"]["violations"]
    assert violation["field"] in ("references", "search.references")
    assert "at most 3 pictures" in violation["description"]
    fewer = ("--prior-alone", "--overwrite", "--out", tmp_path / "out")
    assert eacps("search", *pictures, *PROMPT, *SMALL, *words, "--server", toy, *fewer).exit_code == 0
