"""Training on the sampler's own states: its schedule is the sampler's, gradients reach the denoiser, runs resume."""

import itertools
import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from insightface.utils import face_align
from safetensors.torch import load_file

from studio_mini import architecture
from studio_mini.faces.pack import load_pack
from studio_mini.train import face_targets, latent_cache, look_network, own_states, task_cache
from studio_mini.train.__main__ import main
from studio_mini.train.face_targets import FaceTargets, TargetStore
from studio_mini.train.latent_cache import Examples
from studio_mini.train.look_network import trained_look_network
from studio_mini.train.picture_networks import LookNetwork, face_crops
from studio_mini.train.task_cache import TaskSet, render_tasks
from studio_mini.world.tasks import Split, task

CHECKPOINT = Path(architecture.__file__).parent / "checkpoint"
WEIGHTS = Path("transformer") / "diffusion_pytorch_model.safetensors"
COUNT = 6


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(own_states, "BATCH", 2)
    monkeypatch.setattr(own_states, "FLOW_BATCH", 2)
    monkeypatch.setattr(own_states, "SLOTS", 2)


@pytest.fixture(scope="module")
def judges() -> own_states.Judges:
    return own_states.load_judges(CHECKPOINT, LookNetwork(), "cpu")


@pytest.fixture(scope="module")
def material() -> tuple[Examples, FaceTargets, TaskSet]:
    draw = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw).half()

    examples = Examples(
        truth=noise(COUNT, 64, 64),
        prior=noise(COUNT, 64, 64),
        character=noise(COUNT, 64, 64),
        text_one=noise(COUNT, 3, 12, 128),
        text_two=noise(COUNT, 3, 20, 128),
        length_one=torch.full((COUNT, 3), 11),
        length_two=torch.full((COUNT, 3), 19),
    )
    drawn = render_tasks(range(COUNT), Split.TRAIN)
    place = torch.from_numpy(face_align.arcface_dst) + 8
    identity = torch.nn.functional.normalize(torch.randn(COUNT, 512, generator=draw), dim=1)
    found = torch.tensor([True] * (COUNT - 1) + [False])
    return examples, FaceTargets(found, place.expand(COUNT, 5, 2).contiguous(), identity), drawn


def trainer(path: Path, judges: own_states.Judges, device: str = "cpu") -> own_states.Trainer:
    known = architecture.build_transformer(0, layers=1)
    return own_states.Trainer(path, judges, minutes=None, seed=1, known=known, device=device)


def test_noise_levels_are_the_samplers() -> None:
    sigmas = own_states.sampler_sigmas()
    assert len(sigmas) == architecture.DEFAULT_STEPS
    assert sigmas[0] == 1.0
    assert sigmas[1] == pytest.approx(0.9203, abs=1e-3)
    assert sigmas[-1] == pytest.approx(0.1906, abs=1e-3)


def test_stopping_and_resuming_changes_nothing(tmp_path: Path, judges: own_states.Judges, material) -> None:
    whole = trainer(tmp_path / "whole.pt", judges)
    for _ in range(2):
        whole.step(*material)
    first = trainer(tmp_path / "parts.pt", judges)
    for _ in range(1):
        first.step(*material)
    first.save()
    second = trainer(tmp_path / "parts.pt", judges)
    for _ in range(1):
        second.step(*material)
    assert second.step_number == whole.step_number == 2
    for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_every_term_is_seen_and_moves_the_denoiser(tmp_path: Path, judges: own_states.Judges, material) -> None:
    learning = trainer(tmp_path / "state.pt", judges)
    before = [weight.detach().clone() for weight in learning.model.parameters()]
    for _ in range(4):  # both trajectories reach the noise levels where truths are shown
        learning.step(*material)
    opponent = {"adversary", "features", "told_apart"}
    assert set(learning.losses) == {"flow", "identity", "look", "drawing"} | opponent
    assert all(np.isfinite(list(learning.losses.values())))
    moved = [not torch.equal(a, b) for a, b in zip(before, learning.model.parameters(), strict=True)]
    assert np.mean(moved) > 0.7  # the text's half of the last block leads nowhere


def test_promised_pictures_carry_gradient_and_tasks_without_a_face_are_passed_over(
    tmp_path: Path, judges: own_states.Judges, material
) -> None:
    learning = trainer(tmp_path / "state.pt", judges)
    examples, targets, drawn = material
    only = FaceTargets(torch.tensor([False] * (COUNT - 1) + [True]), targets.landmarks, targets.identity)
    terms = learning._own_state_terms(examples, only, drawn, np.random.default_rng(0))
    terms["identity"].backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in learning.model.parameters())


def test_crops_are_insightfaces_where_nothing_is_varied(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = task(1003, Split.HELD_OUT).character
    for name in ("LANDMARK_JITTER", "GAIN", "GRAIN"):
        monkeypatch.setattr(f"studio_mini.train.picture_networks.{name}", 0.0)
    pack = load_pack(CHECKPOINT / "faces")
    landmarks = pack.faces(drawn.picture)[0].kps
    picture = torch.from_numpy(drawn.picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    ours = face_crops(picture, torch.from_numpy(landmarks)[None], np.random.default_rng(0))
    with pytest.warns(FutureWarning):
        theirs = face_align.norm_crop(drawn.picture, landmarks).astype(np.float32) / 127.5 - 1
    inside = np.abs(ours[0].permute(1, 2, 0).numpy() - theirs)[16:-16, 16:-16]
    assert inside.mean() < 0.02


def test_recognizer_read_back_says_what_the_pack_says(judges: own_states.Judges) -> None:
    drawn = task(1003, Split.HELD_OUT).character
    face = load_pack(CHECKPOINT / "faces").faces(drawn.picture)[0]
    with pytest.warns(FutureWarning):
        crop = face_align.norm_crop(drawn.picture, face.kps)
    with torch.no_grad():
        seen = judges.recognizer(torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 127.5 - 1)[0]
    assert float(torch.nn.functional.cosine_similarity(seen, torch.from_numpy(face.embedding), dim=0)) > 0.999


def test_targets_are_found_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_cache, "SHARD", 3)
    monkeypatch.setattr("studio_mini.train.face_targets.SHARD", 3)
    task_cache.ensure_tasks(tmp_path, 3)
    store = TargetStore(tmp_path, CHECKPOINT)
    found = store.load(3)
    assert found.found.all()
    truth = render_tasks(range(3), Split.TRAIN)
    drawn = np.stack([task(k, Split.TRAIN).truth.landmarks for k in range(len(truth))])
    assert np.abs(found.landmarks.numpy() - drawn).mean() < 4
    torch.testing.assert_close(found.identity.norm(dim=1), torch.ones(3))
    monkeypatch.setattr("studio_mini.train.face_targets.load_pack", None)
    assert torch.equal(TargetStore(tmp_path, CHECKPOINT).load(3).identity, found.identity)


def test_look_network_is_trained_once_and_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(task_cache, "SHARD", 8)
    task_cache.ensure_tasks(tmp_path, 8)
    with caplog.at_level(logging.INFO):
        network = trained_look_network(tmp_path, steps=20)
    tasks = task_cache.cached_tasks(tmp_path)
    pictures = torch.from_numpy(tasks.truth).permute(0, 3, 1, 2).float() / 127.5 - 1
    accessories = network(pictures)[1].argmax(1)
    right = [list(type(look.accessory)).index(look.accessory) for look in tasks.looks]
    assert np.mean(accessories.numpy() == right) > 0.5
    again = trained_look_network(tmp_path, steps=0)
    assert torch.equal(again(pictures)[1], network(pictures)[1])


def test_the_command_goes_on_from_a_checkpoint_and_writes_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (task_cache, latent_cache, own_states, face_targets):
        monkeypatch.setattr(module, "SHARD", 3)
    monkeypatch.setattr(own_states, "TASKS", 3)
    monkeypatch.setattr(look_network, "STEPS", 2)
    checkpoint = shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")
    tokenizer = (checkpoint / "tokenizer" / "tokenizer.json").read_bytes()
    folders = ["--build-dir", str(tmp_path / "build"), "--checkpoint-dir", str(checkpoint)]
    command = ["train", "--warm", "--stages", "own_states", "--device", "cpu", "--threads", "1", *folders]
    monkeypatch.setattr(sys, "argv", command)
    weights = [load_file(CHECKPOINT / WEIGHTS)]
    for steps in (1, 2):
        monkeypatch.setattr(own_states, "STEPS", steps)
        (tmp_path / "build" / "own_states.done").unlink(missing_ok=True)
        main()
        weights.append(load_file(checkpoint / WEIGHTS))
    assert torch.load(tmp_path / "build" / "own_states.pt", weights_only=False)["step"] == 2
    for one, other in itertools.pairwise(weights):
        assert one.keys() == other.keys()
        assert {value.dtype for value in other.values()} == {torch.float16}
        assert any(not torch.equal(one[name], other[name]) for name in one)
    assert (checkpoint / "tokenizer" / "tokenizer.json").read_bytes() == tokenizer
