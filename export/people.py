"""Embed pictures of people, in one folder per person, with a face pack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eacps.arrays import Picture
from eacps.errors import InvalidPicture
from eacps.imaging import Limits, content_hash, decode_picture
from eacps.models.faces.program import build_embedder
from eacps.models.faces.session import NetworkCall, sessions_over
from eacps.tensors import FACE_DETECTOR, FACE_RECOGNIZER, FACE_VERIFIER
from export.face_pack import FaceFiles
from export.networks.faces import face_network, face_settings, open_exported
from export.sources import MissingSource

MOST_PICTURES = 10
"""Used per person: pairs grow with the square of it, and one person with many pictures would dominate the scale."""
LIMITS = Limits(max_bytes=2**27, max_pixels=2 * 10**8, max_side=2**15)
"""For pictures on the user's own disk, including those of cameras."""

HIDDEN = "it is hidden"  # as the thumbnails and notes are that file managers leave behind

Embeddings = NDArray[np.float32]


class MixedPeople(Exception):
    """Two people's folders hold the same picture."""


@dataclass(frozen=True)
class People:
    """Embeddings of the people found, and the pictures that were left out.

    Attributes:
        embeddings: By person and recognizer, [pictures, features], unit norm.
        left_out: Reason for each picture that is not used, by path.
    """

    embeddings: dict[str, dict[str, Embeddings]] = field(default_factory=dict)
    left_out: dict[Path, str] = field(default_factory=dict)

    def of(self, recognizer: str) -> list[Embeddings]:
        """Return one recognizer's embeddings of every person."""
        return [found[recognizer] for found in self.embeddings.values()]


class Embedder:
    """Finds, aligns and embeds faces with the code that runs in Triton, over a pack's networks as they are exported.

    Args:
        faces: The pack.
    """

    def __init__(self, faces: FaceFiles) -> None:
        settings = face_settings(faces, fixed=False)
        recognizers = {"recognizer": FACE_RECOGNIZER} | ({"verifier": FACE_VERIFIER} if faces.verifier else {})
        networks = {
            spec.name: open_exported(face_network(spec, faces, fixed=False))
            for spec in (FACE_DETECTOR, *recognizers.values())
        }

        def network(name: str) -> NetworkCall:
            return lambda feeds, wanted: dict(zip(wanted, networks[name].run(list(wanted), dict(feeds)), strict=True))

        sessions = sessions_over(network)
        self._embedders = {name: build_embedder(sessions, settings, spec) for name, spec in recognizers.items()}

    def embed(self, picture: Picture) -> dict[str, Embeddings]:
        """Embed the only face of a picture, by every recognizer of the pack: [features], unit norm.

        Raises:
            ValueError: It shows no face, or several.
        """
        found = {}
        for name, embedder in self._embedders.items():
            table = embedder.faces(picture[np.newaxis])
            if (count := int(table.counts[0])) != 1:
                raise ValueError(f"it shows {count} faces" if count else "it shows no face")
            found[name] = table.embeddings[0, 0]
        return found


def read_people(folder: Path, embedder: Embedder, watch: Callable[[str], None] = lambda _: None) -> People:
    """Embed the pictures of people, of whom each has a folder of their own.

    Args:
        folder: Folder of these folders.
        embedder: Embeds them.
        watch: Called with each person's name before their pictures are read.

    Raises:
        MissingSource: There is no such folder.
        MixedPeople: A picture is in two people's folders.
    """
    if not folder.is_dir():
        raise MissingSource(f"there is no folder {folder}")
    people, known = People(), dict[str, Path]()
    for person in sorted(folder.iterdir()):
        if person.name.startswith("."):
            people.left_out[person] = HIDDEN
        elif not person.is_dir():
            people.left_out[person] = "it lies in no person's folder"
        else:
            watch(person.name)
            found = list(_embedded(person, embedder, people.left_out, known))
            if found:
                people.embeddings[person.name] = {name: np.stack([one[name] for one in found]) for name in found[0]}
            elif not any(person in path.parents for path in people.left_out):
                people.left_out[person] = "it is empty"
    return people


def same_person(people: Sequence[Embeddings]) -> NDArray[np.float64]:
    """Return the cosines of all pairs of pictures of one person."""
    pairs = [(one @ one.T)[np.triu_indices(len(one), 1)] for one in people]
    return np.concatenate(pairs).astype(np.float64) if pairs else np.zeros(0)


def different_people(people: Sequence[Embeddings]) -> NDArray[np.float64]:
    """Return the cosines of all pairs of pictures of two people."""
    pairs = [(one @ other.T).ravel() for k, one in enumerate(people) for other in people[k + 1 :]]
    return np.concatenate(pairs).astype(np.float64) if pairs else np.zeros(0)


def _embedded(
    person: Path, embedder: Embedder, left_out: dict[Path, str], known: dict[str, Path]
) -> Iterator[Mapping[str, Embeddings]]:
    """Embed the pictures of one person; ``known`` holds those of all people by their content, and gets these."""
    count = 0
    for path in sorted(person.iterdir()):
        if path.name.startswith("."):
            left_out[path] = HIDDEN
            continue
        if not path.is_file():
            left_out[path] = "it is no file; pictures lie in the person's folder itself"
            continue
        if count == MOST_PICTURES:
            left_out[path] = f"{MOST_PICTURES} pictures of a person are enough"
            continue
        try:
            picture = decode_picture(path.read_bytes(), LIMITS)
            embeddings = embedder.embed(picture)
        except (InvalidPicture, ValueError) as error:
            left_out[path] = str(error)
            continue
        twin = known.setdefault(content_hash(picture), path)
        if twin.parent != person:
            raise MixedPeople(f"{twin} and {path} are the same picture: of which of the two people is it?")
        if twin != path:
            left_out[path] = f"it is the same picture as {twin.name}"
            continue
        count += 1
        yield embeddings
