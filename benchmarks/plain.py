"""What a user would write instead: a loop over diffusers' pipeline, or one call for many pictures.

Where this code could be written in several ways, the quicker one was taken: the prompt is encoded once an edit and not
once a seed, as ``pipe(prompt=...)`` would, and both questions about a picture are one batch of the judge.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import QwenImageEditPlusPipeline
from PIL import Image

from benchmarks.edits import Edit, Picture
from benchmarks.outcome import Outcome, Stopwatch
from benchmarks.plain_faces import PlainFaces, Swapped
from benchmarks.plain_judge import PlainJudge
from eacps.scoring import load_question
from eacps.tensors import MAX_BACKBONE_BATCH
from export.backbones.qwen_image_edit.checkpoint import CheckpointSettings, encode_prompt, load_judge, load_pipeline

BACKBONE = "qwen_image_edit"
QUESTIONS = ("realism", "prompt")
_TRIED_SEEDS = 4  # of an edit, to find out how many threads the loop is quickest with


@dataclass(frozen=True, eq=False)
class _Prepared:
    swapped: Swapped
    embeddings: torch.Tensor
    mask: torch.Tensor


class PlainEditor:
    """Edits and scores with the libraries' own classes, in this process.

    Args:
        checkpoint: Folder of the checkpoint.
        steps: Denoising steps; None takes the checkpoint's.
        threads: Of torch, at most, and of ONNX Runtime.
    """

    def __init__(self, checkpoint: Path, *, steps: int | None, threads: int) -> None:
        self.threads = {"loop": threads, "batched": threads}
        settings = CheckpointSettings.read(checkpoint)
        self.steps = steps or settings.default_steps
        self._pipeline: QwenImageEditPlusPipeline = load_pipeline(checkpoint)
        self._judge = PlainJudge(load_judge(checkpoint), self._pipeline)
        self.faces = PlainFaces(
            checkpoint / (settings.face_pack or "faces"), detection_size=settings.face_detection_size, threads=threads
        )

    def loop(self, edit: Edit, seeds: Sequence[int] | None = None) -> Outcome:
        """One picture after another: made, then scored. ``seeds`` may name some of the edit's own."""
        torch.set_num_threads(self.threads["loop"])
        return self._run(edit, edit.seeds if seeds is None else seeds, batch=1)

    def batched(self, edit: Edit) -> Outcome:
        """Many pictures a call (``num_images_per_prompt``), then all of them scored."""
        torch.set_num_threads(self.threads["batched"])
        return self._run(edit, edit.seeds, batch=MAX_BACKBONE_BATCH)

    def choose_threads(self, edit: Edit) -> None:
        """Limit torch to one thread where that is faster: many threads spin while one waits for another."""
        few = edit.seeds[:_TRIED_SEEDS]
        trials = {"loop": lambda: self.loop(edit, few), "batched": lambda: self.batched(edit)}
        for name, trial in trials.items():
            seconds = {}
            for threads in {1, self.threads[name]}:
                self.threads[name] = threads
                trial()  # a first run with other threads is slower
                seconds[threads] = min(_seconds(trial) for _ in range(2))
            self.threads[name] = min(seconds, key=seconds.__getitem__)

    def _run(self, edit: Edit, seeds: Sequence[int], *, batch: int) -> Outcome:
        watch = Stopwatch()
        with watch.measure("prepare"):
            prepared = self._prepare(edit)
        pictures: dict[int, Picture] = {}
        scores: dict[int, dict[str, float]] = {}
        for start in range(0, len(seeds), batch):
            part = seeds[start : start + batch]
            with watch.measure("generate"):
                made = self._generate(prepared, part)
            with watch.measure("score"):
                scored = self._score(made, edit, prepared)
            pictures |= zip(part, made, strict=True)
            scores |= zip(part, scored, strict=True)
        return Outcome(edit, prepared.swapped.prior, pictures, scores, watch.spent_s)

    def _prepare(self, edit: Edit) -> _Prepared:
        swapped = self.faces.swap(edit.scene, edit.character)
        embeddings, mask = encode_prompt(self._pipeline, [Image.fromarray(swapped.prior)], edit.prompt)
        return _Prepared(swapped, embeddings, mask)

    def _generate(self, prepared: _Prepared, seeds: Sequence[int]) -> list[Picture]:
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        height, width = prepared.swapped.prior.shape[:2]
        result = self._pipeline(
            image=[Image.fromarray(prepared.swapped.prior)],
            prompt_embeds=prepared.embeddings,
            prompt_embeds_mask=prepared.mask,
            true_cfg_scale=1.0,
            height=height,
            width=width,
            num_inference_steps=self.steps,
            num_images_per_prompt=len(seeds),
            generator=generators,
        )
        return [np.array(picture) for picture in result.images]

    def _score(self, pictures: Sequence[Picture], edit: Edit, prepared: _Prepared) -> list[dict[str, float]]:
        questions = [load_question(name).text(edit.prompt) for name in QUESTIONS]
        identities = [self.faces.identity(picture, prepared.swapped.reference) for picture in pictures]
        answers = self._judge.p_yes(pictures, questions).tolist()
        return [
            {"identity": identity, **dict(zip(QUESTIONS, row, strict=True))}
            for identity, row in zip(identities, answers, strict=True)
        ]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
