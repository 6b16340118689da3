"""Everything the search server asks of Triton, as typed methods over one long-lived gRPC client.

Requests are built from, and responses checked against, the contract in `eacps.tensors`. Cancelling a task that waits
here cancels the call, and with it the work inside Triton.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self, TypeVar

import numpy as np
from opentelemetry import propagate
from tritonclient.grpc import InferResult
from tritonclient.grpc import aio as tritonclient

from eacps import tensors
from eacps.arrays import Array, Float32, UInt8
from eacps.errors import DeadlineExceeded, TritonModelFailed, TritonUnavailable
from eacps.scene.faces import Faces
from eacps.tensors import ModelSpec
from eacps.triton import codec, served
from eacps.triton.status import CLIENT_ERRORS, translated
from eacps.triton.types import Generated, GenerateRequest, ServedCheckpoint

# Called in every repository; optional models are called where `describe` and `has_verifier` say that they are served.
CALLED_MODELS = (tensors.FACE_EMBED, tensors.SAMPLER)
NETWORKS = [spec for spec in tensors.MODELS.values() if spec.kind is tensors.Kind.NETWORK]
_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A Triton that comes back is found within seconds, not after gRPC's default of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
]
# Of several servers each call takes the next one that is connected. (Triton 2.51 has no health checking to watch.)
_BALANCING = [("grpc.lb_policy_name", "round_robin")]
_LOOPBACK = ("127.", "localhost", "[::1]")
_STREAM_HEADERS = {"triton_grpc_error": "true"}  # real status codes instead of text within the stream
_EXPECTED_BUILD: ContextVar[str] = ContextVar("expected_build", default="")
"""Of the search or call that is being worked on; several are, over one gateway, at a time."""
_POLL_INTERVAL_S = 0.2
_POLL_TIMEOUT_S = 5.0
T = TypeVar("T")


class TritonGateway:
    """Typed access to the models that a search calls. Make one with `connect` and keep it: clients are not cheap.

    Every method takes ``timeout_s``, the time left for the call or None; once it has passed, the call ends with
    `DeadlineExceeded` on both sides. All raise `TritonUnavailable` where Triton cannot be reached, and
    `TritonModelFailed` where a model answers with an error or breaks the contract.
    """

    def __init__(self, client: tritonclient.InferenceServerClient, url: str) -> None:
        self._client = client
        self.url = url

    @classmethod
    async def connect(cls, url: str, *, ready_timeout_s: float = 60.0) -> Self:
        """Connect and wait until all models that a search calls are ready.

        Args:
            url: ``host:port`` of Triton's gRPC endpoint; of several equal ones their IP addresses and ports,
                separated by commas, or ``dns:///name:port`` of a name that has all their addresses. They must serve the
                same models.
            ready_timeout_s: How long to wait for it.

        Raises:
            TritonUnavailable: It is not ready in time.
            TritonModelFailed: It is, but its models are not those of the contract.
        """
        target = f"{_family(url)}:{url}" if "," in url else url
        gateway = cls(tritonclient.InferenceServerClient(target, channel_args=_channel_options(url)), url)
        try:
            await gateway._wait_until_ready(ready_timeout_s)
            for model in CALLED_MODELS:
                served.check(model, await gateway._config_of(model))
            checkpoint = await gateway.describe()
            if checkpoint.face_swap:
                served.check(tensors.FACE_PRIOR, await gateway._config_of(tensors.FACE_PRIOR))
            if checkpoint.judge:
                served.check(tensors.VLM_JUDGE, await gateway._config_of(tensors.VLM_JUDGE))
            await asyncio.gather(*map(gateway._check_network, NETWORKS))
        except BaseException:
            await gateway.close()
            raise
        return gateway

    @contextmanager
    def expecting(self, build: str) -> Iterator[None]:
        """Have calls that are begun within the block refused by models of another build.

        Args:
            build: As `describe` names it; empty expects none.

        Raises:
            CheckpointChanged: By those calls.
        """
        token = _EXPECTED_BUILD.set(build)
        try:
            yield
        finally:
            _EXPECTED_BUILD.reset(token)

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        await self._client.close()

    async def is_ready(self, *, timeout_s: float = _POLL_TIMEOUT_S) -> bool:
        """Return whether Triton answers and has all called models ready."""
        try:
            if not await self._client.is_server_ready(client_timeout=timeout_s):
                return False
            for model in CALLED_MODELS:
                if not await self._client.is_model_ready(model.name, client_timeout=timeout_s):
                    return False
        except CLIENT_ERRORS:
            return False
        return True

    async def has_verifier(self) -> bool:
        """Return whether Triton serves a held-out verifier.

        Raises:
            TritonModelFailed: It serves one that breaks the contract.
        """
        ready = self._client.is_model_ready(tensors.FACE_VERIFY.name, client_timeout=_POLL_TIMEOUT_S)
        if not await self._ask("readiness of face_verify", ready):
            return False
        served.check(tensors.FACE_VERIFY, await self._config_of(tensors.FACE_VERIFY))
        return True

    async def describe(self) -> ServedCheckpoint:
        """Return what Triton serves, as the exporter wrote it into the sampler's configuration."""
        config = await self._config_of(tensors.SAMPLER)
        metadata = await self._ask("server metadata", self._client.get_server_metadata(client_timeout=_POLL_TIMEOUT_S))
        return served.describe(config, triton_version=metadata.version)

    async def swap_face(
        self, scene: UInt8, landmarks: Float32, source: Float32, *, timeout_s: float | None = None
    ) -> UInt8:
        """Put an identity over a face of the scene; only where a face swapper is served.

        Args:
            scene: ``uint8 [H, W, 3]``.
            landmarks: ``float32 [5, 2]``, of the face to replace, in pixels of the scene, as `embed_faces` gives them.
            source: ``float32 [512]``, unit norm: the identity to put in.
            timeout_s: See the class.

        Returns:
            ``uint8 [H, W, 3]``.
        """
        arrays: dict[str, Array] = {"scene": scene, "landmarks": landmarks, "source": source}
        return (await self._infer(tensors.FACE_PRIOR, arrays, timeout_s))["prior"]

    async def embed_faces(self, pictures: UInt8, *, timeout_s: float | None = None) -> list[Faces]:
        """Find and embed the faces of ``pictures``, ``uint8 [N, H, W, 3]``; those of each picture."""
        found = await self._infer(tensors.FACE_EMBED, {"pictures": pictures}, timeout_s)
        return [
            Faces(
                found["boxes"][row, :count],
                found["landmarks"][row, :count],
                found["detection_scores"][row, :count],
                found["embeddings"][row, :count],
            )
            for row, count in enumerate(found["counts"])
        ]

    async def verify_faces(self, pictures: UInt8, *, timeout_s: float | None = None) -> list[Float32]:
        """Embed the faces of ``pictures`` by the held-out verifier; see `has_verifier`.

        Args:
            pictures: ``uint8 [N, H, W, 3]``.
            timeout_s: See the class.

        Returns:
            ``float32 [F, E]``, unit norm, of each picture: its faces in the order of `embed_faces`.
        """
        found = await self._infer(tensors.FACE_VERIFY, {"pictures": pictures}, timeout_s)
        return [found["embeddings"][row, :count] for row, count in enumerate(found["counts"])]

    async def judge(self, pictures: UInt8, questions: Sequence[str], *, timeout_s: float | None = None) -> Float32:
        """Ask yes/no questions about pictures; only where a judge is served.

        Args:
            pictures: ``uint8 [N, R, H, W, 3]``: N items of R pictures shown together.
            questions: Q questions, each put to every item. Line breaks within one become spaces.
            timeout_s: See the class.

        Returns:
            P(yes), ``float32 [N, Q]``, in [0, 1].
        """
        lines = "\n".join(" ".join(question.splitlines()) for question in questions)
        arrays = {"pictures": pictures, "questions": codec.utf8(lines)}
        p_yes = (await self._infer(tensors.VLM_JUDGE, arrays, timeout_s))["p_yes"]
        if p_yes.shape[1] != len(questions):
            raise TritonModelFailed(f"vlm_judge answered {p_yes.shape[1]} questions instead of {len(questions)}")
        if not ((p_yes >= 0) & (p_yes <= 1)).all():  # NaN fails this too
            raise TritonModelFailed("vlm_judge answered with a probability outside [0, 1]")
        return p_yes

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        """Run the sampler over a micro-batch.

        Cancelling the waiting task, or the time-out, ends the work inside Triton at the next denoising step.

        Raises:
            InvalidRequest: The sampler does not take the prompt, the steps or the mask; names the request's fields.
        """
        inputs, axes = codec.encode(tensors.SAMPLER, _sampler_arrays(request))
        call = {
            "model_name": tensors.SAMPLER.name,
            "inputs": inputs,
            "timeout": _microseconds(timeout_s),
            "parameters": _request_parameters(),
        }
        _check_time_left(tensors.SAMPLER, timeout_s)
        results = await self._ask(tensors.SAMPLER.name, self._stream(call, timeout_s))
        if len(results) != 1:
            raise TritonModelFailed(f"sampler answered {len(results)} times instead of once")
        return Generated(**codec.outputs_of(tensors.SAMPLER, results[0], axes))

    async def _infer(self, model: ModelSpec, arrays: Mapping[str, Array], timeout_s: float | None) -> dict[str, Array]:
        inputs, axes = codec.encode(model, arrays)
        _check_time_left(model, timeout_s)
        call = self._client.infer(
            model.name,
            inputs,
            timeout=_microseconds(timeout_s),
            client_timeout=timeout_s,
            headers=_headers(),
            parameters=_request_parameters(),
        )
        return codec.outputs_of(model, await self._ask(model.name, call), axes)

    async def _stream(self, call: dict[str, Any], timeout_s: float | None) -> list[InferResult]:
        stream = self._client.stream_infer(_only(call), stream_timeout=timeout_s, headers=_headers(_STREAM_HEADERS))
        try:
            return [result async for result in _results(stream)]
        finally:
            stream.cancel()  # without effect on a stream that has ended

    async def _check_network(self, network: ModelSpec) -> None:
        """Hold a network to the contract where Triton serves it; programs that cost nothing need none."""
        ready = self._client.is_model_ready(network.name, client_timeout=_POLL_TIMEOUT_S)
        if await self._ask(f"readiness of {network.name}", ready):
            call = self._client.get_model_metadata(network.name, client_timeout=_POLL_TIMEOUT_S)
            served.check_network(network, await self._ask(f"metadata of {network.name}", call))

    async def _config_of(self, model: ModelSpec) -> Any:
        call = self._client.get_model_config(model.name, client_timeout=_POLL_TIMEOUT_S)
        return (await self._ask(f"configuration of {model.name}", call)).config

    async def _ask(self, doing: str, call: Awaitable[T]) -> T:
        try:
            return await call
        except CLIENT_ERRORS as exc:
            raise translated(exc, doing=doing) from exc

    async def _wait_until_ready(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while not await self.is_ready(timeout_s=max(_POLL_INTERVAL_S, min(_POLL_TIMEOUT_S, timeout_s))):
            if time.monotonic() >= end:
                raise TritonUnavailable(f"Triton at {self.url} is not ready after {timeout_s:g} s")
            await asyncio.sleep(_POLL_INTERVAL_S)


def _channel_options(url: str) -> list[tuple[str, int | str]]:
    options: list[tuple[str, int | str]] = [*_CHANNEL_OPTIONS, *_BALANCING]
    # Connections to this machine must not use a proxy from the environment.
    return [*options, ("grpc.enable_http_proxy", 0)] if url.startswith(_LOOPBACK) else options


def _headers(others: Mapping[str, str] | None = None) -> dict[str, str]:
    """Headers of a call, which carry the trace that it is part of; nothing where none is made."""
    headers = dict(others or {})
    propagate.inject(headers)
    return headers


def _request_parameters() -> dict[str, str] | None:
    """Parameters of a call beside its tensors: the expected build, if there is one."""
    build = _EXPECTED_BUILD.get()
    return {tensors.BUILD_PARAMETER: build} if build else None


def _family(url: str) -> str:
    """gRPC's scheme for a list of addresses."""
    return "ipv6" if url.startswith("[") else "ipv4"


def _sampler_arrays(request: GenerateRequest) -> dict[str, Array]:
    arrays: dict[str, Array] = {
        "pictures": request.pictures,
        "prompt": codec.utf8(request.prompt),
        "true_cfg_scale": np.array([request.true_cfg_scale], np.float32),
        "seeds": request.seeds,
        "coefficients": request.coefficients,
        "steps": np.array([request.steps], np.int32),
        "start_step": np.array([request.start_step], np.int32),
    }
    optional = {"scene": request.scene, "edit_mask": request.edit_mask, "latents": request.latents}
    arrays.update({name: array for name, array in optional.items() if array is not None})
    if request.negative_prompt is not None:
        arrays["negative_prompt"] = codec.utf8(request.negative_prompt)
    return arrays


async def _only(call: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield call


async def _results(stream: Any) -> AsyncIterator[InferResult]:
    async for result, error in stream:
        if error is not None:
            raise error
        yield result


def _check_time_left(model: ModelSpec, timeout_s: float | None) -> None:
    if timeout_s is not None and timeout_s <= 0:
        raise DeadlineExceeded(f"no time left to call {model.name}")


def _microseconds(timeout_s: float | None) -> int | None:
    return None if timeout_s is None else max(1, int(timeout_s * 1e6))
