"""The same edits through EACPS: searches over gRPC, models in Triton."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from benchmarks.edits import Edit
from benchmarks.outcome import Outcome
from eacps.assembly import serving
from eacps.client import AsyncClient
from eacps.imaging import decode_picture, encode_png
from eacps.limits import DEFAULT_WEIGHTS
from eacps.settings import Settings
from eacps.triton.embedded import EmbeddedTriton
from eacps.v1 import search_service_pb2 as pb

STAGES = ("prepare", "generate", "score")


class ServedEditor:
    """Searches on a running server.

    Args:
        client: Client of the server.
        steps: Denoising steps.
        micro_batch: Candidates that go to Triton together.
    """

    def __init__(self, client: AsyncClient, *, steps: int, micro_batch: int) -> None:
        self._client, self._steps, self._micro_batch = client, steps, micro_batch

    async def search_all(self, edits: Sequence[Edit]) -> list[Outcome]:
        """Run one best-of-N search for each edit, all at once."""
        return await asyncio.gather(*(self._search(edit) for edit in edits))

    async def _search(self, edit: Edit) -> Outcome:
        return outcome_of(edit, [event async for event in self._client.run(self._request(edit))])

    def _request(self, edit: Edit) -> pb.RunSearchRequest:
        return pb.RunSearchRequest(
            scene=pb.Image(data=encode_png(edit.scene)),
            character=pb.Image(data=encode_png(edit.character)),
            prompt=edit.prompt,
            # As the plain code does: the prior is the one picture that the backbone sees.
            sampler=pb.SamplerSettings(steps=self._steps, character_as_reference=False),
            scorers=[pb.ScorerSettings(name=name, weight=weight) for name, weight in DEFAULT_WEIGHTS.items()],
            search=pb.SearchSettings(
                best_of_n=pb.BestOfNSettings(trajectories=edit.candidates),
                random_seed=edit.number,
                micro_batch=self._micro_batch,
            ),
        )


def outcome_of(edit: Edit, events: Sequence[pb.SearchEvent]) -> Outcome:
    """Read a search's events, of which the last one has the bytes of the best picture."""
    scored = [event.candidate_scored for event in events if event.HasField("candidate_scored")]
    prior = next(event.prior_ready.prior for event in events if event.HasField("prior_ready"))
    finished = events[-1].finished
    best_seed = finished.recipe.terms[0].seed
    return Outcome(
        edit=edit,
        prior=decode_picture(prior.data),
        pictures={best_seed: decode_picture(finished.best.data)},
        scores={one.recipe.terms[0].seed: _scores_of(one.evaluation) for one in scored},
        stages_s={stage: finished.timings[stage].ToTimedelta().total_seconds() for stage in STAGES},
    )


def _scores_of(evaluation: pb.Evaluation) -> dict[str, float]:
    return {score.scorer: score.raw for score in evaluation.scores if score.HasField("value")}


@asynccontextmanager
async def served_editor(triton: EmbeddedTriton, *, steps: int, micro_batch: int) -> AsyncIterator[ServedEditor]:
    """A search server over ``triton`` on a free port, and a client of it."""
    settings = Settings(address="127.0.0.1:0", triton=triton.grpc_url, grace_s=0.0, insecure=True)
    async with serving(settings) as server, AsyncClient(f"127.0.0.1:{server.port}") as client:
        yield ServedEditor(client, steps=steps, micro_batch=micro_batch)
