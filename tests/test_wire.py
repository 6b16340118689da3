"""Where the pictures of a message are, and what two messages share."""

from eacps.v1 import search_service_pb2 as pb
from eacps.wire import copy_fields, images_in

A, B, C = (pb.Image(data=letter) for letter in (b"a", b"b", b"c"))


def test_pictures_are_found_at_every_depth_with_their_paths() -> None:
    request = pb.RunSearchRequest(
        scene=A,
        prompt="smile",
        labels={"of": "test"},
        scorers=[pb.ScorerSettings(name="identity")],
        scene_face_by=pb.FaceSelector(likeness=B),
        character_face_by=pb.FaceSelector(box=pb.Box(right=1, bottom=1)),
        more_characters=[A, C],
        references=[B],
    )
    within = [
        ("scene", b"a"),
        ("scene_face_by.likeness", b"b"),
        ("more_characters[0]", b"a"),
        ("more_characters[1]", b"c"),
        ("references[0]", b"b"),
    ]
    assert [(path, image.data) for path, image in images_in(request)] == within
    assert [path for path, _ in images_in(pb.CreateSearchRequest(search=request))] == [f"search.{p}" for p, _ in within]


def test_they_are_the_messages_own() -> None:
    request = pb.RunSearchRequest(character_face_by=pb.FaceSelector(likeness=A))
    for _, image in images_in(request):
        image.data = b"new"
    assert request.character_face_by.likeness.data == b"new"


def test_fields_are_copied_as_they_are_set() -> None:
    source = pb.RunSearchRequest(
        scene=A,
        prompt="smile",
        scene_face=0,
        more_characters=[B, C],
        scene_face_by=pb.FaceSelector(index=0),
        priority=3,
    )
    target = pb.RenderCandidateRequest()
    copy_fields(source, target, ("scene", "prompt", "scene_face", "character_face", "more_characters", "scene_face_by"))
    assert target == pb.RenderCandidateRequest(
        scene=A, prompt="smile", scene_face=0, more_characters=[B, C], scene_face_by=pb.FaceSelector(index=0)
    )
    assert target.HasField("scene_face")
    assert not target.HasField("character_face")
