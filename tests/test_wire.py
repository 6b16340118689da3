"""Where the pictures of a message are, and what two messages share."""

from eacps.v1 import search_service_pb2 as pb
from eacps.wire import artifact_of, copy_fields, images_in, pictures_of

A, B, C = (pb.Image(data=letter) for letter in (b"a", b"b", b"c"))


def test_pictures_are_found_at_every_depth_with_their_paths() -> None:
    request = pb.RunSearchRequest(
        scene=A,
        prompt="smile",
        labels={"of": "test"},
        scorers=[pb.ScorerSettings(name="identity")],
        scene_face=pb.FaceSelector(likeness=B),
        character_face=pb.FaceSelector(box=pb.Box(right=1, bottom=1)),
        more_characters=[A, C],
        references=[B],
    )
    within = [
        ("scene", b"a"),
        ("scene_face.likeness", b"b"),
        ("more_characters[0]", b"a"),
        ("more_characters[1]", b"c"),
        ("references[0]", b"b"),
    ]
    assert [(path, image.data) for path, image in images_in(request)] == within
    assert [path for path, _ in images_in(pb.CreateSearchRequest(search=request))] == [f"search.{p}" for p, _ in within]


def test_they_are_the_messages_own() -> None:
    request = pb.RunSearchRequest(character_face=pb.FaceSelector(likeness=A))
    for _, image in images_in(request):
        image.data = b"new"
    assert request.character_face.likeness.data == b"new"


def test_fields_are_copied_as_they_are_set() -> None:
    source = pb.RunSearchRequest(
        scene=A,
        prompt="smile",
        more_characters=[B, C],
        scene_face=pb.FaceSelector(index=0),
        priority=3,
    )
    target = pb.RenderCandidateRequest()
    copy_fields(source, target, ("scene", "prompt", "scene_face", "character_face", "more_characters"))
    assert target == pb.RenderCandidateRequest(
        scene=A, prompt="smile", more_characters=[B, C], scene_face=pb.FaceSelector(index=0)
    )
    assert target.HasField("scene_face")
    assert not target.HasField("character_face")


def test_the_result_comes_first_among_the_pictures_of_the_last_event() -> None:
    event = pb.SearchEvent(finished=pb.SearchFinished(best=A, delivered=B))
    assert pictures_of(event) == [B, A]
    assert pictures_of(pb.SearchEvent(prior_ready=pb.PriorReady(prior=A, scene=C))) == [A, C]
    assert pictures_of(pb.SearchEvent(candidate_scored=pb.CandidateScored(thumbnail=A))) == []


def test_a_picture_has_the_same_hash_however_it_is_given() -> None:
    digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"  # of "a", by sha256sum
    assert artifact_of(A) == artifact_of(pb.Image(artifact=digest)) == digest
    assert artifact_of(pb.Image()) == ""
