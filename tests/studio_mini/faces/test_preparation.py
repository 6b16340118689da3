"""What the training of the face pack rests on: alignment, targets, figures, and a loop that can be stopped."""

from pathlib import Path

import numpy as np
import pytest
import torch
from insightface.utils import face_align
from torch import nn

from studio_mini.faces.alignment import RECOGNIZER_SIZE, SWAPPER_SHIFT, SWAPPER_SIZE, crop
from studio_mini.faces.detector import ANCHORS, STRIDES, Detector, Targets, anchors, assign, loss
from studio_mini.faces.figures import area_under_roc, box_overlap
from studio_mini.faces.pictures import draw_swap, faceless, mirror, place_face
from studio_mini.faces.swapper import Swapper, latents, trait_map
from studio_mini.faces.traits import trait_table
from studio_mini.train.faces_loop import TimedLoop
from studio_mini.world.tasks import Split, face, person


@pytest.mark.parametrize("size", [RECOGNIZER_SIZE, SWAPPER_SIZE])
def test_crops_are_those_of_insightface(size: int) -> None:
    drawn, _ = face(3, 1)
    theirs = face_align.norm_crop(drawn.picture, drawn.landmarks, size)
    assert np.abs(crop(drawn.picture, drawn.landmarks, size).astype(int) - theirs).max() <= 1


def test_the_recognizers_crop_lies_inside_the_swappers() -> None:
    drawn, _ = face(4, 1)
    small, large = (crop(drawn.picture, drawn.landmarks, size) for size in (RECOGNIZER_SIZE, SWAPPER_SIZE))
    inside = large[:RECOGNIZER_SIZE, SWAPPER_SHIFT : SWAPPER_SHIFT + RECOGNIZER_SIZE]
    assert np.abs(small.astype(int) - inside).max() <= 2


def test_a_face_is_given_to_anchors_of_its_size_near_its_middle() -> None:
    box, landmarks = np.array([30.0, 30.0, 90.0, 90.0]), np.full((5, 2), 60.0)
    label, boxes, _ = assign([(box, landmarks)], 128, 128)
    centers, strides, bands = anchors(128, 128)
    chosen = label == 1
    assert chosen.any()
    assert set(bands[chosen]) <= {2, 3, 4}
    assert (np.abs(centers[chosen] - 60).max(axis=1) <= strides[chosen]).all()
    np.testing.assert_array_equal(boxes[chosen], np.tile(box, (chosen.sum(), 1)))


def test_anchors_count_as_the_networks_outputs_do() -> None:
    scores, boxes, landmarks = Detector().eval()(torch.zeros(2, 3, 96, 160))
    counts = [96 * 160 * ANCHORS // stride**2 for stride in STRIDES]
    assert [score.shape for score in scores] == [(2, count, 1) for count in counts]
    assert [box.shape[2] for box in boxes] == [4] * 3
    assert [points.shape[2] for points in landmarks] == [10] * 3
    assert len(anchors(96, 160)[0]) == sum(counts)


def test_a_right_answer_costs_less_than_a_wrong_one() -> None:
    centers, strides, _ = (torch.from_numpy(part) for part in anchors(64, 64))
    box, points = np.array([16.0, 16.0, 48.0, 48.0]), np.full((5, 2), 32.0)
    label, boxes, landmarks = (torch.from_numpy(part)[None] for part in assign([(box, points)], 64, 64))
    targets = Targets(centers, strides, label, boxes, landmarks)
    stride = strides[None, :, None]
    distances = torch.cat([centers[None] - boxes[..., :2], boxes[..., 2:] - centers[None]], -1) / stride
    offsets = (landmarks - centers[None].repeat(1, 1, 5)) / stride
    scores = torch.where(label == 1, 8.0, -8.0)[..., None]
    right = loss(([scores], [distances], [offsets]), targets)
    wrong = loss(([-scores], [distances + 2], [offsets + 1]), targets)
    assert right < 0.01
    assert wrong > 10


def test_mirrored_landmarks_keep_their_meaning() -> None:
    drawn, _ = face(5, 1)
    _, (box, points) = mirror(drawn.picture, (drawn.box, drawn.landmarks))
    assert points[0, 0] < points[1, 0]
    assert points[3, 0] < points[4, 0]
    assert box[0] < box[2]


def test_a_placed_face_takes_its_box_and_landmarks_along() -> None:
    drawn, _ = face(6, 1)
    matrix = np.array([[0.5, 0.0, 10.0], [0.0, 0.5, 20.0]])
    _, (box, points) = place_face(np.zeros_like(drawn.picture), drawn.picture, (drawn.box, drawn.landmarks), matrix)
    np.testing.assert_allclose(box, drawn.box * 0.5 + [10, 20, 10, 20], atol=1e-4)
    np.testing.assert_allclose(points, drawn.landmarks * 0.5 + [10, 20], atol=1e-4)


def test_a_swap_shows_the_same_situation_and_is_the_same_every_time() -> None:
    one, again = draw_swap(7, Split.HELD_OUT), draw_swap(7, Split.HELD_OUT)
    for name, array in one.items():
        np.testing.assert_array_equal(array, again[name])
    corner = np.s_[:8, :8]
    difference = np.abs(one["scenes"][corner].astype(int) - one["truths"][corner])
    assert difference.mean() < 25


def test_faceless_pictures_differ() -> None:
    rng = np.random.default_rng(0)
    assert np.abs(faceless(rng).astype(int) - faceless(rng)).mean() > 1


def test_traits_are_standardized_and_tell_people_apart() -> None:
    table = trait_table([person(number) for number in range(30)])
    np.testing.assert_allclose(table.mean(axis=0), 0, atol=1e-5)
    assert len(np.unique(table, axis=0)) == 30


def test_the_swapper_leaves_everything_outside_its_oval_alone() -> None:
    target = torch.rand(2, 3, 128, 128)
    source = latents(torch.randn(2, 512), trait_map(torch.randn(60, 512)))
    network = Swapper()
    change = (network(target, source) - target).abs().amax(dim=(0, 1))
    assert change[network.oval == 0].max() == 0
    assert change[network.oval == 1].min() > 0


def test_latents_are_unit_vectors_of_traits() -> None:
    directions = torch.randn(60, 512)
    embedding = torch.randn(3, 512)
    latent = latents(embedding, trait_map(directions))
    torch.testing.assert_close(latent.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(latent[:, :60], torch.nn.functional.normalize(embedding @ directions.T))
    assert not latent[:, 60:].any()


def test_area_under_roc_and_overlap() -> None:
    assert area_under_roc(np.array([0.9, 0.8]), np.array([0.1, 0.2])) == 1
    assert area_under_roc(np.array([0.5]), np.array([0.5])) == 0.5
    assert box_overlap(np.array([0.0, 0, 2, 2]), np.array([1.0, 0, 3, 2])) == pytest.approx(1 / 3)


def test_a_loop_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    def some_steps(minutes: float) -> tuple[list[int], torch.Tensor]:
        torch.manual_seed(0)
        network = nn.Linear(2, 1)
        loop = TimedLoop("line", tmp_path / "line.pt", {"line": network}, minutes=minutes, peak_rate=0.1)
        steps = []
        for step in loop.steps():
            steps.append(step)
            loop.descend(network(torch.ones(4, 2)).square().mean())
        return steps, network.weight.detach().clone()

    first, weight = some_steps(0.002)
    nothing, restored = some_steps(0.002)
    later, _ = some_steps(0.004)
    assert first[0] == 0
    assert nothing == []
    torch.testing.assert_close(restored, weight)
    assert later[0] == first[-1] + 1
