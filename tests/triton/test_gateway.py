"""The gateway against a real Triton with studio-mini."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tritonclient.grpc import aio as tritonclient

from eacps.errors import CheckpointChanged, DeadlineExceeded, InvalidRequest, TritonModelFailed, TritonUnavailable
from eacps.imaging import decode_picture, fit_picture
from eacps.models.noise import NOISE_VERSION
from eacps.tensors import FACE_RECOGNIZER
from eacps.triton import GenerateRequest, TritonGateway, served
from eacps.triton.embedded import EmbeddedTriton
from eacps.triton.gateway import NETWORKS
from studio_mini.world.tasks import Split, task

SAMPLE = Path(__file__).parents[2] / "studio_mini" / "samples" / "smile"
CANCELLED = re.compile(r"cancelled at step (\d+) of (\d+)")
MANY_STEPS = 90  # far more than a test would wait for


@pytest.fixture
async def gateway(triton: EmbeddedTriton) -> AsyncIterator[TritonGateway]:
    gateway = await TritonGateway.connect(triton.grpc_url, ready_timeout_s=30.0)
    yield gateway
    await gateway.close()


async def test_a_proxy_of_the_environment_does_not_stand_before_this_machine(
    triton: EmbeddedTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    gateway = await TritonGateway.connect(triton.grpc_url, ready_timeout_s=5.0)
    await gateway.close()


@pytest.fixture(scope="module")
def noise_picture() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)


@pytest.fixture(scope="module")
def request_of_two(noise_picture: npt.NDArray[np.uint8]) -> GenerateRequest:
    return GenerateRequest(
        pictures=noise_picture[np.newaxis],
        prompt="make the person smile",
        seeds=np.array([[1, 2], [3, 0]], np.uint32),
        coefficients=np.array([[0.6, 0.8], [1.0, 0.0]], np.float32),
        steps=2,
    )


def sample(name: str) -> npt.NDArray[np.uint8]:
    return decode_picture((SAMPLE / f"{name}.png").read_bytes())


async def last_cancelled(triton: EmbeddedTriton, steps: int) -> int:
    """Waits for the sampler's word that a run of ``steps`` steps was cancelled, and gives the step."""
    async with asyncio.timeout(20):
        while True:
            found = [m for m in CANCELLED.finditer(triton.log_file.read_text()) if int(m[2]) == steps]
            if found:
                return int(found[-1][1])
            await asyncio.sleep(0.05)


class TestConnecting:
    async def test_holds_every_network_to_the_contract_whatever_backend_runs_it(self, triton: EmbeddedTriton) -> None:
        async with tritonclient.InferenceServerClient(triton.grpc_url) as client:
            for network in NETWORKS:
                stated = await client.get_model_metadata(network.name)
                served.check_network(network, stated)
                stated.outputs[0].shape[-1] = 7
                stated.inputs[0].datatype = "FP16"
                with pytest.raises(TritonModelFailed) as refused:
                    served.check_network(network, stated)
                assert f"{network.name} in Triton breaks the contract" in str(refused.value)
                assert f"input {network.inputs[0].name} has dtype FP16 instead of" in str(refused.value)
            stated = await client.get_model_metadata(FACE_RECOGNIZER.name)
            stated.outputs[0].shape[:] = [-1, 192]
            with pytest.raises(TritonModelFailed, match=r"embedding has shape \[\?, 192\] instead of \[batch, 512\]"):
                served.check_network(FACE_RECOGNIZER, stated)

    async def test_says_what_is_served(self, gateway: TritonGateway) -> None:
        checkpoint = await gateway.describe()
        assert (checkpoint.width, checkpoint.height) == (128, 128)
        assert checkpoint.default_steps == 8
        assert checkpoint.latent_shape == (16, 16, 16)
        assert checkpoint.noise_version == NOISE_VERSION
        assert checkpoint.face_swap
        assert checkpoint.name
        assert len(checkpoint.fingerprint) == 64
        assert checkpoint.triton_version.startswith("2.")

    async def test_gives_up_on_a_port_where_nobody_listens(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(TritonUnavailable, match=r"not ready after 0\.5 s"):
                await TritonGateway.connect(url, ready_timeout_s=0.5)

    async def test_a_closed_gateway_is_unavailable(
        self, triton: EmbeddedTriton, noise_picture: npt.NDArray[np.uint8]
    ) -> None:
        gateway = await TritonGateway.connect(triton.grpc_url, ready_timeout_s=30.0)
        await gateway.close()
        with pytest.raises(TritonUnavailable):
            await gateway.embed_faces(noise_picture[np.newaxis])


class TestGenerating:
    async def test_gives_pictures_and_latents_of_every_recipe(
        self, gateway: TritonGateway, request_of_two: GenerateRequest
    ) -> None:
        made = await gateway.generate(request_of_two)
        assert made.pictures.shape == (2, 128, 128, 3)
        assert made.pictures.dtype == np.uint8
        assert made.latents.shape == (2, 64, 64)
        assert not np.array_equal(made.pictures[0], made.pictures[1])

    async def test_optional_inputs_are_taken(
        self, gateway: TritonGateway, request_of_two: GenerateRequest, noise_picture: npt.NDArray[np.uint8]
    ) -> None:
        mask = np.zeros((128, 128), np.uint8)
        mask[32:96, 32:96] = 255
        request = replace(
            request_of_two, scene=noise_picture, edit_mask=mask, negative_prompt="blurry", true_cfg_scale=2.0
        )
        made = await gateway.generate(request)
        assert np.array_equal(made.pictures[:, mask == 0], np.stack([noise_picture[mask == 0]] * 2))

    async def test_restarts_pictures_from_their_latents(
        self, gateway: TritonGateway, request_of_two: GenerateRequest
    ) -> None:
        made = await gateway.generate(request_of_two)
        again = await gateway.generate(replace(request_of_two, start_step=1, latents=made.latents))
        assert again.pictures.shape == made.pictures.shape
        assert not np.array_equal(again.pictures, made.pictures)

    async def test_what_the_caller_asked_wrongly_is_named_by_field(
        self, gateway: TritonGateway, request_of_two: GenerateRequest
    ) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await gateway.generate(replace(request_of_two, prompt="smile " * 1500))
        (violation,) = caught.value.violations
        assert violation.field == "prompt"
        assert "tokens" in violation.description
        assert caught.value.__cause__ is not None

    async def test_what_we_asked_wrongly_is_not_the_callers_fault(
        self, gateway: TritonGateway, request_of_two: GenerateRequest
    ) -> None:
        with pytest.raises(TritonModelFailed, match=r"sampler: start_step: "):
            await gateway.generate(replace(request_of_two, start_step=5))

    async def test_what_breaks_the_contract_is_never_sent(
        self, gateway: TritonGateway, request_of_two: GenerateRequest
    ) -> None:
        with pytest.raises(ValueError, match="edit_mask"):
            await gateway.generate(replace(request_of_two, edit_mask=np.zeros((64, 64), np.uint8)))

    async def test_cancelling_reaches_the_denoising_step(
        self, triton: EmbeddedTriton, gateway: TritonGateway, request_of_two: GenerateRequest
    ) -> None:
        steps = MANY_STEPS
        task = asyncio.create_task(gateway.generate(replace(request_of_two, steps=steps)))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await last_cancelled(triton, steps) < steps

    async def test_a_passed_deadline_reaches_the_denoising_step(
        self, triton: EmbeddedTriton, gateway: TritonGateway, request_of_two: GenerateRequest
    ) -> None:
        steps = MANY_STEPS + 1
        with pytest.raises(DeadlineExceeded):
            await gateway.generate(replace(request_of_two, steps=steps), timeout_s=0.5)
        assert await last_cancelled(triton, steps) < steps

    async def test_without_time_left_nothing_is_asked(
        self, gateway: TritonGateway, request_of_two: GenerateRequest
    ) -> None:
        with pytest.raises(DeadlineExceeded, match="no time left"):
            await gateway.generate(request_of_two, timeout_s=0.0)


class TestJudging:
    async def test_answers_every_question_about_every_item(
        self, gateway: TritonGateway, noise_picture: npt.NDArray[np.uint8]
    ) -> None:
        items = np.stack([noise_picture, noise_picture[::-1]])[:, np.newaxis]
        questions = ["Does this face look natural?", "Is the person smiling?", "Is the\nmouth open?"]
        p_yes = await gateway.judge(items, questions)
        assert p_yes.shape == (2, 3)
        assert ((p_yes >= 0) & (p_yes <= 1)).all()


class TestFaces:
    async def test_a_wall_shows_no_face(self, gateway: TritonGateway) -> None:
        faces = await gateway.embed_faces(np.full((2, 128, 128, 3), 128, np.uint8))
        assert [len(one) for one in faces] == [0, 0]
        assert [one.embeddings.shape for one in faces] == [(0, 512), (0, 512)]

    async def test_the_held_out_verifier_tells_people_apart(self, gateway: TritonGateway) -> None:
        assert await gateway.has_verifier()
        shown = [task(number, Split.HELD_OUT) for number in (0, 1)]
        characters = await gateway.verify_faces(np.stack([one.character.picture for one in shown]))
        truths = await gateway.verify_faces(np.stack([one.truth.picture for one in shown]))
        assert [len(one) for one in (*characters, *truths)] == [1, 1, 1, 1]
        likeness = np.concatenate(characters) @ np.concatenate(truths).T
        assert np.diag(likeness).min() > max(likeness[0, 1], likeness[1, 0])

    async def test_a_face_of_the_scene_becomes_another(self, gateway: TritonGateway) -> None:
        scene = fit_picture(sample("scene"), width=128, height=128)
        pictures = np.stack([scene, fit_picture(sample("character"), width=128, height=128)])
        replaced, shown = await gateway.embed_faces(pictures)
        assert (len(replaced), len(shown)) == (1, 1)
        embeddings = np.concatenate([replaced.embeddings, shown.embeddings])
        assert np.linalg.norm(embeddings, axis=1) == pytest.approx([1.0, 1.0], abs=1e-4)
        ((left, top, right, bottom),) = replaced.as_tuples()
        assert 0 <= left < right <= 128
        assert 0 <= top < bottom <= 128
        prior = await gateway.swap_face(scene, replaced.landmarks[0], shown.embeddings[0])
        assert prior.shape == (128, 128, 3)
        changed = np.argwhere((prior != scene).any(axis=2)).mean(axis=0)
        assert top < changed[0] < bottom
        assert left < changed[1] < right


class TestOtherBuilds:
    """A search's calls are meant for the build with which it began; models of another one refuse them."""

    @pytest.mark.parametrize("model", ["generate", "embed_faces", "verify_faces", "swap_face", "judge"])
    async def test_are_refused_by_every_model(
        self, gateway: TritonGateway, request_of_two: GenerateRequest, model: str
    ) -> None:
        call = calls_of(gateway, request_of_two)[model]
        with gateway.expecting((await gateway.describe()).build):
            await call()
        with gateway.expecting("another"), pytest.raises(CheckpointChanged, match="another was expected"):
            await call()
        await call()

    async def test_are_told_apart_by_search_not_by_gateway(
        self, gateway: TritonGateway, request_of_two: GenerateRequest
    ) -> None:
        embed, build = calls_of(gateway, request_of_two)["embed_faces"], (await gateway.describe()).build

        async def search(expected: str) -> None:
            with gateway.expecting(expected):
                for _ in range(3):
                    await embed()

        ours, theirs = await asyncio.gather(search(build), search("another"), return_exceptions=True)
        assert ours is None
        assert isinstance(theirs, CheckpointChanged)


def calls_of(gateway: TritonGateway, request: GenerateRequest) -> dict[str, Callable[[], Awaitable[object]]]:
    """A small call of every model."""
    scene = sample("scene")
    source = np.eye(1, 512, dtype=np.float32)[0]
    landmarks = np.array([[38, 40], [58, 40], [48, 50], [40, 60], [56, 60]], np.float32)
    return {
        "generate": lambda: gateway.generate(request),
        "embed_faces": lambda: gateway.embed_faces(scene[None]),
        "verify_faces": lambda: gateway.verify_faces(scene[None]),
        "swap_face": lambda: gateway.swap_face(scene, landmarks, source),
        "judge": lambda: gateway.judge(scene[None, None], ["Is it day?"]),
    }
