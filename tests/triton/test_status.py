"""Whose fault it is that Triton answers with an error."""

from collections.abc import Mapping

import pytest
from tritonclient.utils import InferenceServerException

from eacps.errors import DeadlineExceeded, EacpsError, InvalidRequest, TritonModelFailed, TritonUnavailable
from eacps.triton.status import translated


def refused(message: str, doing: str = "sampler") -> EacpsError:
    return translated(InferenceServerException(message, status="StatusCode.INVALID_ARGUMENT"), doing=doing)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("prompt: takes 1900 tokens, at most 1024 fit", {"prompt": "takes 1900 tokens, at most 1024 fit"}),
        ("negative_prompt: is not UTF-8", {"negative_prompt": "is not UTF-8"}),
        (
            "steps: is 0, not in [1, 1000]; edit_mask: lets nothing change",
            {"sampler.steps": "is 0, not in [1, 1000]", "mask": "lets nothing change"},
        ),
    ],
)
def test_the_callers_faults_are_named_by_the_requests_fields(message: str, fields: Mapping[str, str]) -> None:
    error = refused(message)
    assert isinstance(error, InvalidRequest)
    assert {violation.field: violation.description for violation in error.violations} == fields


@pytest.mark.parametrize(
    "message",
    [
        "pictures: make 8x6 patches, the text encoder takes 8x8",
        "prompt: is empty; pictures: are none",
        "unexpected shape for input 'prompt'",
    ],
)
def test_a_fault_of_the_configuration_is_not_the_callers(message: str) -> None:
    error = refused(message)
    assert isinstance(error, TritonModelFailed)
    assert message in str(error)


def test_only_the_sampler_takes_the_callers_own_words() -> None:
    assert isinstance(refused("prompt: is empty", doing="vlm_judge"), TritonModelFailed)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("UNAVAILABLE", TritonUnavailable),
        ("CANCELLED", TritonUnavailable),
        ("DEADLINE_EXCEEDED", DeadlineExceeded),
        ("INTERNAL", TritonModelFailed),
    ],
)
def test_other_statuses_have_their_error(status: str, kind: type[EacpsError]) -> None:
    error = translated(InferenceServerException("why", status=f"StatusCode.{status}"), doing="sampler")
    assert type(error) is kind
    assert "sampler: why" in str(error)
