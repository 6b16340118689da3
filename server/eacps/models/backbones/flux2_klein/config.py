"""What the models must know of a FLUX.2 klein checkpoint."""

from dataclasses import dataclass

from eacps.models.checkpoint_config import CheckpointConfig

NAME = "flux2_klein"


@dataclass(frozen=True, kw_only=True)
class Config(CheckpointConfig):
    """One checkpoint; see also `CheckpointConfig`.

    Args:
        rope_axes: Channels of a head that turn with picture, row, column and place in the text; each even.
        rope_theta: Base of the rotary frequencies.
        text_tokens: Length to which every text is padded.
        template: The chat that the text encoder reads, with one ``{}`` for the prompt.
        pad_token: Number of the token that pads.
        pad_left: Whether padding comes before the text.
    """

    backbone: str = NAME
    rope_axes: tuple[int, int, int, int]
    rope_theta: int
    text_tokens: int
    template: str
    pad_token: int
    pad_left: bool
