"""What the models must know of a Qwen-Image-Edit checkpoint."""

from dataclasses import dataclass

from eacps.models.checkpoint_config import CheckpointConfig

NAME = "qwen_image_edit"
# The judge's assets only: arrays "yes" and "no", float32 [channels], the rows of its language head for the first token
# of `prompt.YES` and of `prompt.NO`.
JUDGE_HEAD_FILE = "judge_head.npz"


@dataclass(frozen=True)
class VisionConfig:
    """How a picture becomes Qwen2.5-VL's patches: the checkpoint's ``preprocessor_config.json``.

    Args:
        patch_size: Side of a patch in pixels.
        temporal_patch_size: Frames a patch spans; a still picture is repeated.
        merge_size: Side, in patches, of the square that becomes one token.
        image_mean, image_std: Per RGB channel, of values in [0, 1].
        min_pixels, max_pixels: Bounds of the picture's area (``size``'s shortest_edge and longest_edge).
        window_size: Side in pixels of the windows within which most of the vision tower attends.
        head_width: Channels of one of its attention heads.
        rope_theta: Base of its rotary frequencies.
    """

    patch_size: int
    temporal_patch_size: int
    merge_size: int
    image_mean: tuple[float, float, float]
    image_std: tuple[float, float, float]
    min_pixels: int
    max_pixels: int
    window_size: int
    head_width: int
    rope_theta: float


@dataclass(frozen=True, kw_only=True)
class Config(CheckpointConfig):
    """One checkpoint; see also `CheckpointConfig`.

    Args:
        condition_image_area, vae_image_area: Pixels to which a conditioning picture is fitted for the text encoder and
            for the VAE.
        rope_axes: Channels of a head that turn with frame, row and column; each even.
        rope_theta: Base of the rotary frequencies.
        edit_template: Prompt template with one ``{}``; where it shows a picture itself, it is for one picture alone.
        template_tokens: Tokens at its beginning, before any picture, which are dropped from the embeddings.
        vision: Picture preprocessing of Qwen2.5-VL.
        own_judge: Whether the checkpoint brings a judge; otherwise the text encoder answers questions.
    """

    backbone: str = NAME
    condition_image_area: int
    vae_image_area: int
    rope_axes: tuple[int, int, int]
    rope_theta: int
    edit_template: str
    template_tokens: int
    vision: VisionConfig
    own_judge: bool = False
