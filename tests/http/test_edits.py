"""POST /v1/images/edits as OpenAI's own client calls it, over a real search server of toy models."""

import asyncio
import base64
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai as openai_library
import pytest
from openai import AsyncOpenAI, OpenAI
from PIL import Image

from eacps.client import AsyncClient, v1
from eacps.http import HttpLimits
from eacps.testing import ToyModels
from tests.cli.conftest import toy_server
from tests.cli.searches import picture
from tests.http.conftest import CHARACTER, SCENE, SMALL, client_of, file_of, gateway_over, see_through

TASK: dict[str, Any] = {
    "image": [file_of(SCENE), file_of(CHARACTER)],
    "prompt": "make the person smile",
    "extra_body": {"eacps": SMALL},
}
FOREVER = {"eacps": '{"search": {"best_of_n": {"trajectories": 4000}, "micro_batch": 1}}'}


def opened(b64_json: str | None) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(b64_json or "")))
    image.load()
    return image


async def test_the_best_pictures_come_with_their_scores_and_recipes(openai: AsyncOpenAI, keyed: Any) -> None:
    response = await openai.images.edit(**TASK, n=3, user="artist-7", model="eacps")
    pictures = response.data or []
    facts: Any = (response.model_extra or {})["eacps"]
    candidates: list[Any] = [(one.model_extra or {})["eacps"] for one in pictures]
    potentials = [one["evaluation"]["potential"] for one in candidates]
    assert len(pictures) == 3
    assert potentials == sorted(potentials, reverse=True)
    assert candidates[0]["id"] == facts["best_candidate_id"]
    assert candidates[0]["recipe"][0]["coefficient"] == 1.0
    assert (response.size, response.output_format, response.quality) == ("128x128", "png", "medium")
    assert response.safety_identifier == "artist-7"
    server, key = keyed
    async with AsyncClient(server, api_key=key) as client:
        kept = await client.get(facts["search_id"])
        for one, shown in zip(candidates, pictures, strict=True):
            assert await client.pick(kept.search_id, one["id"]) == base64.b64decode(shown.b64_json or "")
    assert kept.labels["user"] == "artist-7"
    assert kept.request.search.random_seed == 1


async def test_the_blocking_client_is_answered_too(keyed: tuple[str, str]) -> None:
    async with gateway_over(keyed[0]) as address:

        def call() -> int:
            with OpenAI(base_url=f"{address}/v1", api_key=keyed[1], max_retries=0) as client:
                return len(client.images.edit(**TASK).data or [])

        assert await asyncio.to_thread(call) == 1


async def test_pictures_on_the_way_are_streamed(openai: AsyncOpenAI) -> None:
    task = TASK | {"extra_body": {"eacps": '{"search": {"best_of_n": {"trajectories": 6}, "micro_batch": 1}}'}}
    stream = await openai.images.edit(**task, n=2, stream=True, partial_images=2)
    events: list[Any] = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds == ["image_edit.partial_image"] * 2 + ["image_edit.completed"] * 2
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    assert all(opened(event.b64_json).size == (128, 128) for event in events)
    first, second = (event.model_extra["eacps"] for event in events[2:])
    assert first["search_id"] == second["search_id"]
    assert first["candidate"]["evaluation"]["potential"] >= second["candidate"]["evaluation"]["potential"]
    assert events[2].usage.total_tokens == 0


@pytest.mark.parametrize(("kind", "suffix"), [("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
async def test_pictures_come_in_the_format_and_size_that_is_wanted(openai: AsyncOpenAI, kind: Any, suffix: str) -> None:
    response = await openai.images.edit(**TASK, output_format=kind, output_compression=80, size="256x256")
    image = opened((response.data or [])[0].b64_json)
    assert (image.format, image.size) == (suffix, (256, 256))
    assert response.size == "256x256"


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF"])
async def test_scenes_may_have_any_format_that_the_server_reads(openai: AsyncOpenAI, kind: str) -> None:
    scene = io.BytesIO()
    with Image.open(io.BytesIO(SCENE)) as image:
        image.save(scene, kind)
    task = TASK | {"image": [file_of(scene.getvalue(), "x"), file_of(CHARACTER)]}
    response = await openai.images.edit(**task)
    assert opened((response.data or [])[0].b64_json).format == "PNG"


async def test_a_turned_photograph_is_as_large_as_it_is_shown(openai: AsyncOpenAI) -> None:
    scene, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(picture(10, size=(160, 96)))) as image:
        image.save(scene, "JPEG", exif=exif)
    response = await openai.images.edit(**TASK | {"image": [file_of(scene.getvalue()), file_of(CHARACTER)]})
    assert response.size == "96x160"
    assert opened((response.data or [])[0].b64_json).size == (96, 160)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
async def test_the_picture_changes_where_the_mask_is_transparent_and_nowhere_else(
    openai: AsyncOpenAI, kind: str
) -> None:
    task = TASK | {"mask": file_of(see_through((0, 0, 64, 128), kind=kind))}
    response = await openai.images.edit(**task)
    edited = np.asarray(opened((response.data or [])[0].b64_json).convert("RGB")).astype(int)
    with Image.open(io.BytesIO(SCENE)) as image:
        changed = np.abs(edited - np.asarray(image).astype(int)).max(axis=2) > 0
    assert not changed[:, 64:].any()
    assert changed[:, :48].mean() > 0.9


async def test_prompts_may_be_in_any_language(openai: AsyncOpenAI, keyed: Any) -> None:
    prompt = "笑顔にしてください — с улыбкой 🙂\nund freundlich"
    response = await openai.images.edit(**TASK | {"prompt": prompt})
    async with AsyncClient(keyed[0], api_key=keyed[1]) as client:
        kept = await client.get((response.model_extra or {})["eacps"]["search_id"])
    assert kept.request.prompt == prompt


FAULTS: list[tuple[dict[str, Any], int, str | None, str]] = [
    ({"image": file_of(SCENE)}, 400, "image", "missing_required_parameter"),
    ({"image": [file_of(b"no picture"), file_of(CHARACTER)]}, 400, "image", "invalid_image"),
    ({"image": [file_of(SCENE), file_of(b"no picture")]}, 400, "image", "invalid_request"),
    ({"image": [file_of(SCENE), file_of(b"")]}, 400, "image", "invalid_request"),
    ({"image": [file_of(SCENE)] * 12}, 400, "image", "invalid_request"),
    ({"prompt": ""}, 400, "prompt", "missing_required_parameter"),
    ({"prompt": "x" * 2001}, 400, "prompt", "invalid_request"),
    ({"n": 0}, 400, "n", "integer_below_min_value"),
    ({"n": 11}, 400, "n", "integer_above_max_value"),
    ({"n": "two"}, 400, "n", "invalid_type"),
    ({"partial_images": 4, "stream": True}, 400, "partial_images", "integer_above_max_value"),
    ({"model": "gpt-image-2"}, 404, "model", "model_not_found"),
    ({"size": "300x100"}, 400, "size", "invalid_image"),
    ({"size": "8x8"}, 400, "size", "invalid_value"),
    ({"size": "large"}, 400, "size", "invalid_value"),
    ({"output_format": "gif"}, 400, "output_format", "invalid_value"),
    ({"response_format": "url"}, 400, "response_format", "unsupported_value"),
    ({"background": "transparent"}, 400, "background", "unsupported_value"),
    ({"input_fidelity": "low"}, 400, "input_fidelity", "unsupported_value"),
    ({"extra_body": {"frames": 3}}, 400, "frames", "unknown_parameter"),
    ({"extra_body": {"eacps": "{"}}, 400, "eacps", "invalid_json"),
    ({"extra_body": {"eacps": '{"scene": {}}'}}, 400, "eacps", "invalid_value"),
    ({"extra_body": {"eacps": {"search": {"random_seed": 1}}}}, 400, None, "unknown_parameter"),
    ({"extra_body": {"eacps": '{"sampler": {"steps": 1000}}'}}, 400, "eacps", "invalid_request"),
    ({"mask": file_of(SCENE)}, 400, "mask", "invalid_mask"),
    ({"mask": file_of(see_through((0, 0, 0, 0)))}, 400, "mask", "invalid_mask"),
    ({"mask": file_of(see_through((0, 0, 9, 9), (64, 64)))}, 400, "mask", "invalid_request"),
    ({"mask": file_of(b"no picture")}, 400, "mask", "invalid_mask"),
]


@pytest.mark.parametrize(("fault", "status", "param", "code"), FAULTS)
async def test_faults_are_named_in_openais_form(
    openai: AsyncOpenAI, fault: dict[str, Any], status: int, param: str | None, code: str
) -> None:
    for stream in (False, True):
        with pytest.raises(openai_library.APIStatusError) as caught:
            await openai.images.edit(**TASK | {"stream": stream} | fault)
        assert (caught.value.status_code, caught.value.code) == (status, code)
        assert caught.value.param == param or param is None
        assert caught.value.type == "invalid_request_error"
        assert caught.value.request_id


async def test_pictures_by_url_are_refused_as_the_documentation_says(openai: AsyncOpenAI) -> None:
    page = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
    documented = json.loads(page[page.index('{\n  "error"') :].partition("```")[0])
    with pytest.raises(openai_library.BadRequestError) as caught:
        await openai.images.edit(**TASK, response_format="url")
    assert caught.value.response.json() == documented


async def test_a_scene_without_a_face_is_the_callers_fault() -> None:
    with toy_server(models=ToyModels(sees_faces=False)) as server:
        async with gateway_over(server, needs_key=False) as address, client_of(address, "any") as client:
            for stream in (False, True):
                with pytest.raises(openai_library.BadRequestError, match="no face") as caught:
                    await client.images.edit(**TASK, stream=stream)
                assert caught.value.code == "no_face_found"


@pytest.mark.parametrize("key", ["wrong", "eacps_" + "0" * 40, "Ümlaut"])
async def test_a_key_that_nobody_has_is_refused_and_never_logged(
    keyed: Any, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with gateway_over(keyed[0]) as address, httpx2.AsyncClient(base_url=address, trust_env=False) as http:
        headers = {"authorization": b"Bearer " + key.encode()}
        files = [("image[]", file_of(SCENE)), ("image[]", file_of(CHARACTER))]
        for answer in (
            await http.get("/v1/models", headers=headers),
            await http.post("/v1/images/edits", headers=headers, files=files, data={"prompt": "x"}),
        ):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error"]["code"] in ("unauthenticated", "invalid_api_key")
        assert (await http.get("/v1/models")).json()["error"]["code"] == "missing_api_key"
    assert key not in caplog.text


async def test_a_good_key_is_not_logged_either(keyed: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "eacps")
    async with gateway_over(keyed[0]) as address, client_of(address, keyed[1]) as client:
        assert [model.id for model in (await client.models.list()).data] == ["eacps"]
        assert (await client.models.retrieve("eacps")).owned_by == "eacps"
        with pytest.raises(openai_library.NotFoundError, match="does not exist"):
            await client.models.retrieve("dall-e-2")
    assert "/v1/models" in caplog.text
    assert keyed[1] not in caplog.text


@pytest.fixture(scope="module")
def slow() -> Iterator[str]:
    """A toy server that takes its time, and asks for no key."""
    with toy_server(models=ToyModels(duration_s=0.02)) as address:
        yield address


async def state_of_the_last(server: str) -> "v1.SearchState":
    async with AsyncClient(server) as client:
        async for search in client.list():
            return search.state
    raise AssertionError("there is no search")


async def reaches(server: str, *states: "v1.SearchState") -> "v1.SearchState":
    for _ in range(400):
        try:
            if (state := await state_of_the_last(server)) in states:
                return state
        except AssertionError:
            pass
        await asyncio.sleep(0.05)
    return await state_of_the_last(server)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_that_leaves_ends_its_search(slow: str, stream: bool) -> None:
    async with gateway_over(slow, needs_key=False) as address, client_of(address, "any") as client:
        task = TASK | {"extra_body": FOREVER, "stream": stream, "partial_images": 3 if stream else None}
        call = asyncio.ensure_future(client.images.edit(**task))
        assert await reaches(slow, v1.SEARCH_STATE_RUNNING) == v1.SEARCH_STATE_RUNNING
        call.cancel()
        await asyncio.wait({call})
        ended = await reaches(slow, v1.SEARCH_STATE_CANCELLED)
    assert ended == v1.SEARCH_STATE_CANCELLED


async def test_a_stream_that_is_left_in_the_middle_ends_its_search(slow: str) -> None:
    async with gateway_over(slow, needs_key=False) as address, client_of(address, "any") as client:
        search = '{"search": {"best_of_n": {"trajectories": 200}, "micro_batch": 1}}'
        task = TASK | {"extra_body": {"eacps": search}}
        stream = await client.images.edit(**task, stream=True, partial_images=3)
        async for event in stream:
            assert event.type == "image_edit.partial_image"
            break
        await stream.close()
        assert await reaches(slow, v1.SEARCH_STATE_CANCELLED) == v1.SEARCH_STATE_CANCELLED


async def test_a_search_that_is_cancelled_by_others_ends_the_stream_with_an_error(slow: str) -> None:
    async with gateway_over(slow, needs_key=False) as address, client_of(address, "any") as client:
        search = '{"search": {"best_of_n": {"trajectories": 200}, "micro_batch": 1}}'
        stream = await client.images.edit(**TASK | {"extra_body": {"eacps": search}}, stream=True, partial_images=3)

        async def cancel_and_read_on() -> None:
            async with AsyncClient(slow) as own:
                async for _ in stream:
                    async for search_ in own.list():
                        await own.cancel(search_.search_id)

        with pytest.raises(openai_library.APIError, match="cancelled") as caught:
            await cancel_and_read_on()
    assert caught.value.code == "search_cancelled"


async def test_a_named_request_is_one_search_and_goes_on_without_its_caller(slow: str) -> None:
    async with gateway_over(slow, needs_key=False) as address, client_of(address, "any") as client:
        search = {"eacps": '{"search": {"best_of_n": {"trajectories": 60}, "micro_batch": 1, "random_seed": 3}}'}
        task = TASK | {"extra_body": search, "extra_headers": {"Idempotency-Key": "shot-12a"}}
        call = asyncio.ensure_future(client.images.edit(**task))
        await reaches(slow, v1.SEARCH_STATE_RUNNING)
        call.cancel()
        await asyncio.wait({call})
        response = await client.images.edit(**task)
        again = await client.images.edit(**task)
        with pytest.raises(openai_library.ConflictError) as caught:
            await client.images.edit(**task | {"prompt": "another"})
        async with AsyncClient(slow) as own:
            named = [one.search_id async for one in own.list() if one.request_id == "shot-12a"]
    assert named == [(response.model_extra or {})["eacps"]["search_id"]]
    assert again.data == response.data
    assert caught.value.code == "request_id_taken"


async def test_a_search_ends_within_its_time_with_the_best_so_far(slow: str) -> None:
    limits = HttpLimits(search_timeout_s=1.5)
    async with (
        gateway_over(slow, limits=limits, needs_key=False) as address,
        client_of(address, "any") as client,
    ):
        response = await client.images.edit(**TASK | {"extra_body": FOREVER})
    assert (response.model_extra or {})["eacps"]["stop_reason"] == "STOP_REASON_WALL_TIME"
    assert len(response.data or []) == 1


async def test_edits_beyond_the_limit_are_refused_with_a_hint(slow: str) -> None:
    async with (
        gateway_over(slow, limits=HttpLimits(max_edits=1), needs_key=False) as address,
        client_of(address, "any") as client,
    ):
        first = asyncio.ensure_future(client.images.edit(**TASK | {"extra_body": FOREVER}))
        await reaches(slow, v1.SEARCH_STATE_RUNNING)
        with pytest.raises(openai_library.RateLimitError) as caught:
            await client.images.edit(**TASK)
        first.cancel()
        await asyncio.wait({first})
    assert caught.value.response.headers["retry-after"] == "5"
    assert caught.value.response.headers["x-should-retry"] == "true"


async def test_a_server_that_is_away_is_unavailable(unused_port: int) -> None:
    async with gateway_over(f"127.0.0.1:{unused_port}") as address, client_of(address, "any") as client:
        with pytest.raises(openai_library.InternalServerError) as caught:
            await client.models.list()
    assert caught.value.status_code == 503
    assert json.loads(caught.value.response.text)["error"]["type"] == "server_error"
