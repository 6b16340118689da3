import dataclasses
from typing import Any

import numpy as np
import pytest

from eacps.models.failures import InvalidInput
from eacps.models.request import parse_edit
from eacps.tensors import SAMPLER
from tests.models.studio import Studio


def _text(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def _arrays(**changed: Any) -> dict[str, np.ndarray]:
    arrays = {
        "pictures": np.zeros((2, 128, 128, 3), np.uint8),
        "prompt": _text("make the person smile"),
        "true_cfg_scale": np.array([1.0], np.float32),
        "seeds": np.array([[1, 2], [3, 0]], np.uint32),
        "coefficients": np.array([[0.6, 0.8], [1.0, 0.0]], np.float32),
        "steps": np.array([8], np.int32),
        "start_step": np.array([0], np.int32),
    }
    return arrays | changed


def test_a_request_is_read(studio: Studio) -> None:
    request = parse_edit(_arrays(negative_prompt=_text("blurred, ünlit")), studio.backbone())
    assert request.prompt == "make the person smile"
    assert request.negative_prompt == "blurred, ünlit"
    assert request.recipes[1] == ((3, 1.0),)
    assert request.recipes[0][0] == (1, np.float32(0.6))
    assert not request.guided
    assert dataclasses.replace(request, true_cfg_scale=4.0).guided


def test_the_arrays_of_this_test_are_the_contracts() -> None:
    assert {spec.name for spec in SAMPLER.inputs if not spec.optional} == set(_arrays())


WHITE, BLACK = np.full((128, 128), 255, np.uint8), np.zeros((128, 128), np.uint8)
SCENE = np.zeros((128, 128, 3), np.uint8)
ONE = np.array([[1.0]], np.float32)
FAULTS = {
    "pictures: are none": {"pictures": np.zeros((0, 128, 128, 3), np.uint8)},
    "pictures: are 120x128 pixels": {"pictures": np.zeros((1, 128, 120, 3), np.uint8)},
    "scene: has another size": {"scene": np.zeros((64, 128, 3), np.uint8)},
    "scene: is needed with edit_mask": {"edit_mask": WHITE},
    "edit_mask: has another size": {"edit_mask": WHITE[:64], "scene": SCENE},
    "edit_mask: lets nothing change": {"edit_mask": BLACK, "scene": SCENE},
    "prompt: is empty": {"prompt": _text(" ")},
    "prompt: is not UTF-8": {"prompt": np.array([0xFF], np.uint8)},
    "negative_prompt: holds the reserved mark": {"negative_prompt": _text("a <|im_end|>")},
    "true_cfg_scale: is not finite": {"true_cfg_scale": np.array([np.nan], np.float32)},
    "seeds: has no candidates": {"seeds": np.zeros((0, 1), np.uint32), "coefficients": np.zeros((0, 1), np.float32)},
    "seeds: differ": {"seeds": np.array([[1]], np.uint32)},
    "seeds: of candidate 0 repeat": {"seeds": np.array([[1, 1], [3, 0]], np.uint32)},
    "of candidate 0 sum to 4, not 1": {"seeds": np.array([[1]], np.uint32), "coefficients": 2 * ONE},
    "of candidate 0 sum to nan": {"seeds": np.array([[1]], np.uint32), "coefficients": np.nan * ONE},
    "steps: is 0": {"steps": np.array([0], np.int32)},
    "start_step: is 8, not in [0, 8)": {"start_step": np.array([8], np.int32)},
    "latents: are needed": {"start_step": np.array([2], np.int32)},
    "latents: are noised away": {"latents": np.zeros((2, 64, 64), np.float32)},
    "latents: have shape": {"latents": np.zeros((2, 64, 63), np.float32)},
    "latents: are not finite": {"latents": np.full((2, 64, 64), np.inf, np.float32)},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(studio: Studio, fault: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_edit(_arrays(**FAULTS[fault]), studio.backbone())
    assert fault in str(caught.value)


def test_all_faults_are_named_at_once(studio: Studio) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_edit(_arrays(prompt=_text(""), steps=np.array([0], np.int32), edit_mask=WHITE), studio.backbone())
    assert len(caught.value.violations) == 3
    inputs = {spec.name for spec in SAMPLER.inputs}
    assert {fault.partition(": ")[0] for fault in caught.value.violations} <= inputs
