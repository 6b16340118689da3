"""A checkpoint that brings a judge: a network of its own, asked instead of the text encoder, or refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc.aio
import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from transformers import Qwen2_5_VLForConditionalGeneration

from eacps.assembly import serving
from eacps.cli.doctor import check_manifest
from eacps.licenses import License
from eacps.manifest import Manifest
from eacps.models.backbones.qwen_image_edit.contract import JUDGE
from eacps.models.backbones.qwen_image_edit.prompt import NO, YES, judge_prompt
from eacps.settings import Settings
from eacps.tensors import VLM_JUDGE
from eacps.triton.embedded import EmbeddedTriton
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from export.backbones.qwen_image_edit.checkpoint import load_judge, load_text_encoder
from export.backbones.qwen_image_edit.judge import JudgeGraph, JudgeNetwork, last_states
from export.backbones.qwen_image_edit.processor import EditProcessor
from export.backbones.qwen_image_edit.text_encoder import shapes_for
from export.calibration import calibration_for, digests_of, read_calibration, write_sections
from export.inspection import inspect
from export.jobs import network_jobs
from export.parity import TOLERANCE, relative_error
from export.plan import print_plan
from export.prepared import PreparedCheckpoint, prepare
from export.repository import export_repository
from export.request import ExportRequest, gather
from studio_mini.architecture import build_text_encoder
from studio_mini.tokenizer import train_tokenizer
from tests.export.commands import run_export
from tests.export.full_size import planned, write_configurations
from tests.export.test_networks import VISION

SAMPLE = Path(__file__).parents[2] / "studio_mini" / "samples" / "smile"
QUESTIONS = ("Is the person smiling?", "Does this face look natural?", "Is the mouth open?")
ANSWERS = ("scorers.realism", "scorers.prompt")


def without_judge(checkpoint: Path, folder: Path) -> Path:
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns(JUDGE.name))
    return folder


@torch.no_grad()
def with_judge(checkpoint: Path, folder: Path) -> Path:
    """Copy a checkpoint and give it a judge that says no where its text encoder says yes."""
    without_judge(checkpoint, folder)
    model = load_text_encoder(folder)
    draw = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        if weight.ndim == 2:
            weight += 0.3 * weight.std() * torch.randn(weight.shape, generator=draw)
    model.lm_head.weight.neg_()
    model.save_pretrained(folder / JUDGE.name)
    return folder


@pytest.fixture(scope="module")
def bringing(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_judge(checkpoint_dir, tmp_path_factory.mktemp("bringing") / "checkpoint")


@pytest.fixture
def checkpoint(bringing: Path, tmp_path: Path) -> Path:
    """One to spoil."""
    return Path(shutil.copytree(bringing, tmp_path / "checkpoint"))


def prepared(folder: Path, **options: object) -> PreparedCheckpoint:
    return prepare(gather(ExportRequest(str(folder), **options)))  # type: ignore[arg-type]


def configure(folder: Path, **settings: object) -> None:
    file = folder / JUDGE.name / "config.json"
    config = json.loads(file.read_text())
    vision = config["vision_config"] | {key: value for key, value in settings.items() if key in config["vision_config"]}
    others = {key: value for key, value in settings.items() if key not in vision}
    file.write_text(json.dumps(config | others | {"vision_config": vision}))


# 4x8 and 8x8 are whole windows; 6x10 leaves windows at the rim that hold fewer patches.
@pytest.mark.parametrize("grid", [(8, 8), (4, 8), (6, 10)], ids=str)
def test_its_graph_answers_with_the_originals_state_of_each_texts_last_token(grid: tuple[int, int]) -> None:
    network = JudgeNetwork(build_text_encoder(train_tokenizer()), VISION, shapes_for(grid))
    for case in network.cases():
        with torch.no_grad():
            answer = JudgeGraph(network.model)(*(torch.from_numpy(case.inputs[one.name]) for one in JUDGE.inputs))
        assert relative_error(answer.numpy(), case.expected["last_state"]) < TOLERANCE / 10, case.description


def test_padding_is_no_last_token() -> None:
    network = JudgeNetwork(build_text_encoder(train_tokenizer()), VISION, shapes_for((8, 8))[1:2])
    (case,) = network.cases()
    inputs = {name: torch.from_numpy(array) for name, array in case.inputs.items()}
    assert 0 in inputs["attention_mask"]
    inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
    with torch.no_grad():
        answer = JudgeGraph(network.model)(*(inputs[one.name] for one in JUDGE.inputs)).numpy()
    assert relative_error(answer, case.expected["last_state"]) > TOLERANCE


def test_it_is_a_network_in_the_precision_of_the_text_encoder(checkpoint_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Qwen-Image-Edit-2511"
    write_configurations(folder, checkpoint_dir)
    names = [job.spec.name for job in network_jobs(planned(folder, checkpoint_dir / "faces", "tensorrt"))]
    shutil.copytree(folder / "text_encoder", folder / JUDGE.name)
    jobs = {job.spec.name: job for job in network_jobs(planned(folder, checkpoint_dir / "faces", "tensorrt"))}
    assert list(jobs) == [*names[:-1], JUDGE.name, names[-1]]
    judge, text = jobs[JUDGE.name], jobs["text_encoder"]
    assert (judge.weights, judge.precision) == (text.weights, text.precision)
    # Of the scene and the result, whatever the number of pictures that condition an edit.
    assert {profile.largest["pixel_values"][1] for profile in judge.profiles} == {1, 2}
    assert {profile.largest["pixel_values"][1] for profile in text.profiles} == {1, 2, 3}


def test_a_plan_names_it(bringing: Path, tmp_path: Path) -> None:
    done = run_export(bringing, tmp_path / "output", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert any(line.split()[0] == JUDGE.name for line in done.stdout.splitlines() if line.strip())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"window_size": 32},
            "config.json sees pictures otherwise than the text encoder: window_size is 32 instead of",
        ),
        ({"num_heads": 2}, "sees pictures otherwise than the text encoder: head width is"),
        ({"image_token_id": 3}, "the judge expects it as 3"),
        ({"quantization_config": {"quant_method": "fp8"}}, "the judge is quantized"),
    ],
)
def test_one_that_does_not_fit_is_refused(checkpoint: Path, settings: dict[str, object], message: str) -> None:
    configure(checkpoint, **settings)
    done = run_export(checkpoint, checkpoint.parent / "output", "--dry-run")
    assert done.returncode == 1
    assert message in done.stderr


def test_an_empty_folder_is_refused(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint / JUDGE.name)
    (checkpoint / JUDGE.name).mkdir()
    done = run_export(checkpoint, checkpoint.parent / "output", "--dry-run")
    assert done.returncode == 1
    assert "judge/config.json cannot be read" in done.stderr


def test_its_license_is_what_lies_in_its_own_folder(checkpoint: Path) -> None:
    def found(**options: object) -> dict[str, License]:
        return prepared(checkpoint, **options).licenses

    assert found()[JUDGE.name] == License()
    assert found()["text_encoder"].name == "Apache-2.0"
    (checkpoint / JUDGE.name / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    assert (found()[JUDGE.name].name, found()[JUDGE.name].source) == ("MIT", "model card checkpoint/judge/README.md")
    assert found(licenses=("judge=Apache-2.0",))[JUDGE.name].source == "as stated by --license"


def test_answers_that_another_network_gave_are_not_calibrated(bringing: Path, checkpoint_dir: Path) -> None:
    found = prepared(bringing).calibration
    assert {*ANSWERS, "landscape"} <= set(found.left_out)
    assert "scorers.identity" not in found.left_out
    own = json.loads((checkpoint_dir / "calibration.json").read_text(encoding="utf-8"))["measured_with"]
    if JUDGE.name not in own["landscape"]:
        assert found.left_out["scorers.realism"] == found.left_out["landscape"] == "measured without the judge"


def test_a_calibration_belongs_to_it_and_not_to_the_text_encoder(checkpoint: Path) -> None:
    prepared_before = prepared(checkpoint)
    digests = digests_of(checkpoint, prepared_before.faces)
    section = {kind: {"quantiles": {"0.5": at, "0.95": at}} for kind, at in (("positive", 0.9), ("negative", 0.1))}
    write_sections(checkpoint / "calibration.json", dict.fromkeys(ANSWERS, section), digests)
    stored = read_calibration(checkpoint / "calibration.json")["measured_with"]
    assert stored["scorers.realism"] == {JUDGE.name: digests[JUDGE.name]}
    with (checkpoint / "text_encoder" / "config.json").open("a") as file:
        file.write("\n")
    assert not set(ANSWERS) & set(prepared(checkpoint).calibration.left_out)
    with (checkpoint / JUDGE.name / "config.json").open("a") as file:
        file.write("\n")
    assert prepared(checkpoint).calibration.left_out["scorers.prompt"] == "measured with another judge"
    shutil.rmtree(checkpoint / JUDGE.name)
    faces = prepared_before.faces
    left_out = calibration_for(gather(ExportRequest(str(checkpoint))), faces).left_out
    assert left_out["scorers.prompt"] == "measured with a judge, which is not here"


def test_without_one_all_is_as_it_was(checkpoint_dir: Path, tmp_path: Path) -> None:
    plain = prepared(without_judge(checkpoint_dir, tmp_path / "checkpoint"))
    inspect(plain, tmp_path / "output")
    assert JUDGE.name not in {job.spec.name for job in network_jobs(plain)}
    assert JUDGE.name not in plain.licenses
    console = Console(record=True, width=160)
    print_plan(plain, tmp_path / "output", console)
    assert JUDGE.name not in console.export_text().split()
    assert load_judge(tmp_path / "checkpoint").dtype == torch.float32


# torch's exporter uses what torch has deprecated.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.timeout(600)
class TestServed:
    @pytest.fixture(scope="class")
    def repository(self, model_repository_dir: Path, bringing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        output = tmp_path_factory.mktemp("judged") / "repository"
        shutil.copytree(model_repository_dir, output)  # its other networks are kept
        export_repository(prepared(bringing), output)
        return output

    @pytest.fixture(scope="class")
    def judged_triton(self, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTriton]:
        with EmbeddedTriton(repository, log_file=tmp_path_factory.mktemp("log") / "triton.log") as triton:
            yield triton

    @pytest.fixture
    async def client(self, judged_triton: EmbeddedTriton) -> AsyncIterator[SearchServiceStub]:
        settings = Settings(address="127.0.0.1:0", triton=judged_triton.grpc_url, grace_s=0.0, insecure=True)
        async with serving(settings) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield SearchServiceStub(channel)

    def test_it_passed_the_parity_gate_and_doctor_names_it(self, repository: Path) -> None:
        manifest = Manifest.read(repository)
        assert manifest is not None
        assert {JUDGE.name, VLM_JUDGE.name} <= set(manifest.models)
        figures = manifest.models[JUDGE.name].parity
        assert len(figures) == 2
        assert all(0 < figure.error <= figure.allowed == TOLERANCE for figure in figures)
        assert JUDGE.name in manifest.licenses
        assert ", with a judge of its own, embedded in fp32" in check_manifest(repository).detail

    async def test_capabilities_name_it(self, client: SearchServiceStub) -> None:
        assert (await client.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=60)).checkpoint.own_judge

    async def test_the_server_gives_its_answers_and_not_the_text_encoders(
        self, client: SearchServiceStub, bringing: Path
    ) -> None:
        pictures = [SAMPLE / f"{name}.png" for name in ("scene", "truth")]
        request = pb.ScoreImagesRequest(
            **{name: pb.Image(data=(SAMPLE / f"{name}.png").read_bytes()) for name in ("scene", "character")},
            prompt="smile",
            images=[pb.Image(data=picture.read_bytes()) for picture in pictures],
            scorers=[
                pb.ScorerSettings(name=f"triton.q{number}", weight=1.0, question=question)
                for number, question in enumerate(QUESTIONS)
            ],
        )
        answer = await client.ScoreImages(request, timeout=60)
        raw = [[score.raw for score in one.scores if score.scorer.startswith("triton.q")] for one in answer.evaluations]
        theirs = asked_of_transformers(load_judge(bringing), bringing, pictures)
        np.testing.assert_allclose(raw, theirs, atol=1e-4)
        others = asked_of_transformers(load_text_encoder(bringing), bringing, pictures)
        assert np.abs(np.array(theirs) - others).max() > 0.5  # or this would prove nothing


@torch.no_grad()
def asked_of_transformers(
    model: Qwen2_5_VLForConditionalGeneration, checkpoint: Path, pictures: list[Path]
) -> list[list[float]]:
    """P(yes) by the language head's own logits for the next token."""
    processor = EditProcessor.from_pretrained(checkpoint / "processor")
    answers = [processor.tokenizer(word)["input_ids"][0] for word in (YES, NO)]

    def p_yes(picture: Path, question: str) -> float:
        with Image.open(picture) as opened:
            inputs = processor(text=[judge_prompt(question)], images=[opened.convert("RGB")])
        return float(model(**inputs).logits[0, -1, answers].softmax(0)[0])

    return [[p_yes(picture, question) for question in QUESTIONS] for picture in pictures]


def test_a_text_without_tokens_has_the_first_state() -> None:
    hidden, mask = torch.arange(6.0).reshape(2, 3, 1), torch.tensor([[0, 0, 0], [1, 1, 0]])
    assert last_states(hidden, mask).flatten().tolist() == [0.0, 4.0]
