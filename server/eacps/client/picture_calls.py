"""The calls of the asyncio client about pictures, without a search."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable

from eacps.client.calls import Calls
from eacps.client.transfer import Transfer
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import images_in


class PictureCalls:
    """Calls about pictures. All of them raise `CallFailed`.

    Args:
        calls: Makes the calls.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls, self._stub, self._transfer = calls, calls.stub, Transfer(calls)

    async def upload(self, picture: bytes) -> pb.Image:
        """Upload a picture of up to 256 MiB, and return it by its hash, for requests."""
        return (await self._transfer.upload(picture)).image

    async def upload_chunks(self, chunks: AsyncIterable[bytes]) -> pb.UploadImageResponse:
        """Upload a picture as its bytes come in, without holding them. The call is made once: nothing repeats it."""
        return await self._transfer.upload_chunks(chunks)

    def download_chunks(self, artifact: str) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of an artifact as they arrive. They are all of it only if no error follows them."""
        return self._transfer.chunks(artifact)

    async def download(self, artifact: str) -> bytes:
        """Download an artifact by its hash."""
        return await self._transfer.download(artifact)

    async def fetch(self, images: Iterable[pb.Image]) -> None:
        """Download pictures that are given by hash, and replace their hashes by their bytes."""
        await self._transfer.fetch(images)

    async def detect_faces(self, picture: pb.Image) -> pb.DetectFacesResponse:
        """Find the faces of a picture, in its own pixels."""
        request = await self._transfer.shipped(pb.DetectFacesRequest(picture=picture))
        response: pb.DetectFacesResponse = await self._calls.unary(self._stub.DetectFaces, request)
        return response

    async def prepare_prior(self, request: pb.PreparePriorRequest) -> pb.PreparePriorResponse:
        """Make only the identity prior; the response has the bytes of its pictures."""
        asked = await self._transfer.shipped(request)
        response: pb.PreparePriorResponse = await self._calls.unary(self._stub.PreparePrior, asked)
        await self.fetch(image for _, image in images_in(response))
        return response

    async def render(self, request: pb.RenderCandidateRequest) -> pb.RenderCandidateResponse:
        """Render a candidate again from its recipe; the response has the bytes of its pictures."""
        asked = await self._transfer.shipped(request)
        response: pb.RenderCandidateResponse = await self._calls.unary(self._stub.RenderCandidate, asked)
        await self.fetch(image for _, image in images_in(response))
        return response

    async def score(self, request: pb.ScoreImagesRequest) -> pb.ScoreImagesResponse:
        """Score pictures."""
        asked = await self._transfer.shipped(request)
        response: pb.ScoreImagesResponse = await self._calls.unary(self._stub.ScoreImages, asked)
        return response
