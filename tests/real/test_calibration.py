"""The scale that is measured with real networks is that of insightface's own cosines."""

from pathlib import Path

import numpy as np
import pytest
from insightface.app import FaceAnalysis
from insightface.data import get_image
from PIL import Image

from export.face_pack import find_faces
from export.people import Embedder, different_people, read_people, same_person


@pytest.fixture(scope="module")
def people(analysis: FaceAnalysis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The six people of insightface's ``t1.jpg``: a folder each, in three sizes and qualities."""
    folder = tmp_path_factory.mktemp("people")
    group = get_image("t1")
    for number, face in enumerate(analysis.get(group)):
        left, top, right, bottom = (int(side) for side in face.bbox)
        margin = (right - left) // 2
        crop = group[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin, ::-1]
        (folder / str(number)).mkdir()
        for quality in (95, 60, 40):
            smaller = Image.fromarray(crop).resize((4 * quality, 4 * quality))
            smaller.save(folder / str(number) / f"{quality}.jpg", quality=quality)
    return folder


@pytest.mark.parametrize("detector", ["pack", "fixed_pack"])
def test_pairs_are_as_alike_as_for_insightface(
    detector: str, analysis: FaceAnalysis, people: Path, request: pytest.FixtureRequest
) -> None:
    """Also by the detector of one size, whose answers keep their batch."""
    found = read_people(people, Embedder(find_faces(request.getfixturevalue(detector))))
    assert found.left_out == {}
    assert len(found.embeddings) == 6
    expected = []
    for person in sorted(people.iterdir()):
        pictures = [np.asarray(Image.open(path))[..., ::-1] for path in sorted(person.iterdir())]
        expected.append(np.stack([analysis.get(picture)[0].normed_embedding for picture in pictures]))
    tolerance = 1e-4 if detector == "pack" else 0.06
    for measure in (same_person, different_people):
        np.testing.assert_allclose(measure(found.of("recognizer")), measure(expected), atol=tolerance)
    assert same_person(expected).min() > different_people(expected).max()
