"""The ComfyUI nodes without ComfyUI, over a real search server of toy models."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from eacps.api.access import KeyRing, add_key
from eacps.client import CallFailed, v1
from eacps.imaging import TRUSTED, encode_png
from eacps.imaging.reading import read_source
from eacps.testing import ToyModels
from integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, searching
from integrations.comfyui.searching import SearchHandle, Server
from integrations.comfyui.tensors import files_of, images_of, mask_file_of
from tests.cli.conftest import toy_server

SCENE = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1, 96, 160, 3)).astype(np.float32)) / 255
CHARACTER = torch.full((2, 64, 64, 3), 0.5)


def node(name: str) -> Any:
    return NODE_CLASS_MAPPINGS[name]()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A toy server that asks for the key that the environment has."""
    file = tmp_path_factory.mktemp("keys") / "api_keys.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EACPS_API_KEY", add_key(file, "studio"))
        with toy_server(keys=KeyRing.read(file), models=ToyModels(duration_s=0.005)) as address:
            yield node("EacpsServer").connect(f" {address} ")[0]


def searched(server: Server, **inputs: Any) -> tuple[torch.Tensor, SearchHandle, str]:
    defaults: dict[str, Any] = {
        "scene": SCENE,
        "character": CHARACTER,
        "prompt": "make the person smile",
        "trajectories": 5,
        "seed": 7,
        "count": 3,
    }
    found: tuple[torch.Tensor, SearchHandle, str] = node("EacpsSearch").search(server, **{**defaults, **inputs})
    return found


def kept(handle: SearchHandle) -> v1.Search:
    with handle.server.client() as client:
        return client.get(handle.search_id)


def test_a_search_gives_its_best_pictures_in_comfyuis_form(server: Server) -> None:
    images, handle, report = searched(server)
    pictures = json.loads(report)["pictures"]
    assert images.dtype == torch.float32
    assert images.shape == (3, 96, 160, 3)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    potentials = [one["potential"] for one in pictures]
    assert potentials == sorted(potentials, reverse=True)
    request = kept(handle).request
    assert (request.search.random_seed, len(request.more_characters)) == (7, 1)
    assert torch.equal(searched(server)[0], images), "the same seed gives the same pictures"


def test_only_what_is_white_in_the_mask_changes(server: Server) -> None:
    mask = torch.zeros(1, 96, 160)
    mask[:, :, :80] = 1
    images, _, _ = searched(server, mask=mask, count=1)
    assert torch.equal(images[0, :, 80:], SCENE[0, :, 80:])
    assert (images[0, :, 40:70] != SCENE[0, :, 40:70]).float().mean() > 0.9


def test_a_picture_is_picked_by_other_weights(server: Server) -> None:
    images, handle, report = searched(server, count=5)
    names = [one["candidate"] for one in json.loads(report)["pictures"]]
    for rank in (1, 4):
        image, name = node("EacpsPick").pick(handle, rank, "other=1")
        assert name == names[rank - 1]
        assert torch.equal(image[0], images[rank - 1])
    with pytest.raises(ValueError, match="none of rank 9"):
        node("EacpsPick").pick(handle, 9)
    with pytest.raises(ValueError, match="weights are like"):
        node("EacpsPick").pick(handle, 1, "other")
    with pytest.raises(CallFailed, match="sharpness"):
        node("EacpsPick").pick(handle, 1, "sharpness=1")


def test_more_like_this_begins_around_what_is_liked(server: Server) -> None:
    _, handle, _ = searched(server)
    _, name = node("EacpsPick").pick(handle, 1)
    images, another, report = node("EacpsMoreLikeThis").search(handle, f"{name}, ", 6, 8, 2)
    assert images.shape == (2, 96, 160, 3)
    request = kept(another).request
    assert [one.candidate.candidate_id for one in request.search.start] == [name]
    assert (request.search.random_seed, request.prompt) == (8, "make the person smile")
    assert json.loads(report)["search_id"] == another.search_id != handle.search_id
    with pytest.raises(ValueError, match="at least one"):
        node("EacpsMoreLikeThis").search(handle, " ,", 6, 8, 2)


def test_a_search_is_opened_by_its_id(server: Server) -> None:
    _, handle, _ = searched(server)
    assert node("EacpsOpenSearch").open(server, f" {handle.search_id}\n") == (handle,)
    with pytest.raises(CallFailed, match="NOT_FOUND"):
        node("EacpsOpenSearch").open(server, "0" * 32)


def test_an_interrupted_search_is_cancelled(server: Server) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(done: int, planned: int) -> None:
        assert planned == 2000
        raise Interrupted

    request = v1.RunSearchRequest(
        scene=v1.Image(data=files_of(SCENE)[0]),
        character=v1.Image(data=files_of(CHARACTER)[0]),
        prompt="smile",
        search=v1.SearchSettings(best_of_n={"trajectories": 2000}, micro_batch=1),
        labels={"interrupted": "yes"},
    )
    with pytest.raises(Interrupted):
        searching.run(server, request, 1, interrupt)
    with server.client() as client:
        (left,) = client.list(labels={"interrupted": "yes"})
    assert left.state == v1.SEARCH_STATE_CANCELLED


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"scene": SCENE.repeat(2, 1, 1, 1)}, "batch of 2"),
        ({"scene": SCENE[0]}, r"\[B, H, W, C\]"),
        ({"scene": SCENE[..., :2]}, r"\[B, H, W, C\]"),
        ({"mask": torch.ones(1, 64, 64)}, "64x64, the scene 160x96"),
        ({"mask": torch.ones(2, 96, 160)}, "one scene"),
        ({"prompt": " "}, "prompt"),
    ],
)
def test_faults_are_named(server: Server, inputs: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, CallFailed), match=said):
        searched(server, **inputs)


def test_the_key_is_no_part_of_a_workflow(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = [name for kind in NODE_CLASS_MAPPINGS.values() for one in kind.INPUT_TYPES().values() for name in one]
    assert not [name for name in declared if "key" in name]
    monkeypatch.delenv("EACPS_API_KEY")
    with pytest.raises(CallFailed, match="UNAUTHENTICATED"):
        searched(server)


def test_nodes_declare_what_their_functions_take() -> None:
    assert set(NODE_CLASS_MAPPINGS) == set(NODE_DISPLAY_NAME_MAPPINGS)
    for kind in NODE_CLASS_MAPPINGS.values():
        function = getattr(kind, kind.FUNCTION)
        taken = set(function.__code__.co_varnames[1 : function.__code__.co_argcount])
        assert {name for one in kind.INPUT_TYPES().values() for name in one} == taken
        assert len(kind.RETURN_TYPES) == len(kind.RETURN_NAMES)


def test_pictures_of_8_bits_survive_and_others_keep_16() -> None:
    (plain,) = files_of(SCENE)
    assert read_source(plain, TRUSTED).samples.dtype == np.uint8
    assert torch.equal(images_of([plain]), SCENE)
    fine = torch.rand(1, 40, 40, 3, generator=torch.Generator().manual_seed(1))
    (deep,) = files_of(fine)
    assert read_source(deep, TRUSTED).samples.dtype == np.uint16
    assert float((images_of([deep]) - fine).abs().max()) <= 0.5 / 65535 + 1e-7


def test_gray_and_alpha_become_rgb() -> None:
    gray = np.arange(256, dtype=np.uint8).repeat(16).reshape(64, 64)
    images = images_of([encode_png(gray), encode_png(np.stack([gray] * 4, axis=2))])
    assert images.shape == (2, 64, 64, 3)
    assert torch.equal(images[0], images[1])


def test_an_empty_mask_of_another_size_is_none() -> None:
    assert mask_file_of(torch.zeros(1, 64, 64), SCENE) is None
    assert mask_file_of(None, SCENE) is None
    assert mask_file_of(torch.ones(96, 160), SCENE) is not None


def test_nodes_work_where_a_loop_runs_already(server: Server) -> None:
    async def within() -> int:
        return len(searched(server, count=1)[0])

    assert asyncio.run(within()) == 1
