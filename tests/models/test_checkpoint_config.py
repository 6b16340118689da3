import pytest

from eacps.models.backbones.qwen_image_edit.config import Config, VisionConfig
from eacps.models.checkpoint_config import Guidance, ScheduleConfig, ServedShapes, UnsupportedCheckpoint

CONFIG = Config(
    name="some",
    version="1f",
    vae_scale=8,
    latent_depth=16,
    patch_size=2,
    guidance=Guidance.TRUE_CFG,
    condition_image_area=16384,
    vae_image_area=16384,
    default_steps=8,
    rope_axes=(8, 12, 12),
    rope_theta=10000,
    edit_template="say {} now",
    template_tokens=1,
    vision=VisionConfig(
        patch_size=16,
        temporal_patch_size=2,
        merge_size=2,
        image_mean=(0.5, 0.4, 0.3),
        image_std=(0.2, 0.2, 0.1),
        min_pixels=1024,
        max_pixels=1 << 20,
        window_size=64,
        head_width=32,
        rope_theta=10000.0,
    ),
    schedule=ScheduleConfig(use_dynamic_shifting=True, shift_terminal=0.02),
    shapes=ServedShapes(sizes=((128, 128), (96, 160)), texts=((1, 256), (3, 768)), max_batch=4, fixed=True),
)


def test_a_checkpoint_config_survives_json() -> None:
    assert Config.from_json(CONFIG.to_json()) == CONFIG


def test_schedule_takes_its_fields_from_a_scheduler_config_and_ignores_bookkeeping() -> None:
    config = {"_class_name": "X", "shift": 3.0, "use_karras_sigmas": False, "shift_terminal": None}
    assert ScheduleConfig.from_scheduler_config(config) == ScheduleConfig(shift=3.0)


def test_a_schedule_that_the_sampler_lacks_is_refused() -> None:
    with pytest.raises(UnsupportedCheckpoint, match="use_karras_sigmas"):
        ScheduleConfig.from_scheduler_config({"use_karras_sigmas": True})
