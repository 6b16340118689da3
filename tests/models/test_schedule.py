import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import calculate_shift
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from eacps.errors import InvalidRequest
from eacps.models.checkpoint_config import ScheduleConfig
from eacps.models.failures import InvalidInput
from eacps.models.schedule import linear_mu, make_schedule
from eacps.triton.status import translated

CONFIGS = st.fixed_dictionaries(
    {
        "shift": st.floats(0.5, 5.0),
        "use_dynamic_shifting": st.booleans(),
        "base_shift": st.floats(0.2, 0.8),
        "max_shift": st.floats(0.9, 1.5),
        "base_image_seq_len": st.sampled_from([64, 256]),
        "max_image_seq_len": st.sampled_from([1024, 8192]),
        "shift_terminal": st.sampled_from([None, 0.02]),
        "time_shift_type": st.sampled_from(["exponential", "linear"]),
    }
)


@settings(max_examples=60, deadline=None)
@given(config=CONFIGS, steps=st.integers(2, 60), tokens=st.sampled_from([16, 64, 4096]))
def test_sigmas_and_timesteps_are_those_of_the_pipelines_scheduler(
    config: dict[str, object], steps: int, tokens: int
) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(**config)
    keys = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    mu = calculate_shift(tokens, *(scheduler.config[key] for key in keys))
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    ours_config = ScheduleConfig.from_scheduler_config(dict(scheduler.config))
    assert linear_mu(ours_config, tokens) == pytest.approx(mu)
    ours = make_schedule(ours_config, steps, linear_mu(ours_config, tokens))
    torch.testing.assert_close(ours.sigmas, scheduler.sigmas, rtol=0, atol=2e-7)
    torch.testing.assert_close(ours.timesteps, scheduler.timesteps / 1000, rtol=0, atol=2e-7)


def test_one_step_goes_from_noise_to_picture() -> None:
    assert make_schedule(ScheduleConfig(), 1, 0.5).sigmas.tolist() == [1.0, 0.0]


def test_one_step_cannot_be_stretched_to_a_level_of_its_last() -> None:
    with pytest.raises(InvalidInput, match="at least 2") as caught:
        make_schedule(ScheduleConfig(shift_terminal=0.02), 1, 0.5)
    answer = InferenceServerException(str(caught.value), status="StatusCode.INVALID_ARGUMENT")
    error = translated(answer, doing="sampler")
    assert isinstance(error, InvalidRequest)
    assert [violation.field for violation in error.violations] == ["sampler.steps"]
