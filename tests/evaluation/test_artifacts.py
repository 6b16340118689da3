"""Pictures and vectors as bytes, and back."""

import numpy as np
import pytest

from eacps.artifacts import Artifact, get_picture, get_vector, put_pictures, vector_artifact
from eacps.evaluation import MemoryArtifacts


class TestArtifacts:
    async def test_pictures_come_back_pixel_for_pixel(self) -> None:
        store = MemoryArtifacts()
        picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
        (digest,) = await put_pictures(store, [picture])
        assert np.array_equal(await get_picture(store, digest), picture)

    async def test_vectors_come_back_bit_for_bit(self) -> None:
        store = MemoryArtifacts()
        vector = np.random.default_rng(0).standard_normal(512).astype(np.float32)
        artifact = vector_artifact(vector)
        await store.put([artifact])
        assert (await get_vector(store, artifact.digest)).tobytes() == vector.tobytes()

    def test_equal_content_has_one_name(self) -> None:
        assert Artifact.of(b"abc").digest == Artifact.of(b"abc").digest != Artifact.of(b"abd").digest

    async def test_what_is_not_there_is_an_error(self) -> None:
        with pytest.raises(KeyError):
            await MemoryArtifacts().get("0" * 64)
