"""What the Python models must know of the checkpoint whose networks they call.

The exporter reads this from the checkpoint's own objects and writes it as JSON beside the programs, so that the code of
the models holds no number of one checkpoint. Every backbone has a class of its own, derived from `CheckpointConfig`.
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self, get_type_hints

# Where the exporter puts them: files in `<model>/<version>/assets/` of the sampler and of the judge.
ASSETS_FOLDER = "assets"
CONFIG_FILE = "checkpoint.json"
TOKENIZER_FILE = "tokenizer.json"  # the checkpoint's fast tokenizer, as the `tokenizers` library reads it


LARGEST_SHIFT = 1000.0
"""Of a schedule, and as a fraction the least; with larger ones FP32 has no other sigmas than 1 and 0."""
_LARGEST_LOG_SHIFT = math.log(LARGEST_SHIFT)


class UnsupportedCheckpoint(ValueError):
    """The checkpoint asks for something the sampler does not do."""


class Guidance(StrEnum):
    """How a checkpoint heeds a negative prompt."""

    TRUE_CFG = "true_cfg"
    """By a second evaluation of every step."""
    DISTILLED = "distilled"
    """Not at all: guidance was distilled into the weights."""


@dataclass(frozen=True)
class ScheduleConfig:
    """The fields of FlowMatchEulerDiscreteScheduler's config that shape its sigmas; same names, same meaning."""

    num_train_timesteps: int = 1000
    shift: float = 1.0
    use_dynamic_shifting: bool = False
    base_shift: float = 0.5
    max_shift: float = 1.15
    base_image_seq_len: int = 256
    max_image_seq_len: int = 4096
    shift_terminal: float | None = None
    time_shift_type: str = "exponential"

    @classmethod
    def from_scheduler_config(cls, config: dict[str, Any]) -> "ScheduleConfig":
        """Pick the fields out of a scheduler's config.

        Raises:
            UnsupportedCheckpoint: The config turns on a schedule or a sampler that ours does not have.
        """
        foreign = ("invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
        if asked := [name for name in (*foreign, "stochastic_sampling") if config.get(name)]:
            raise UnsupportedCheckpoint(f"scheduler config turns on {', '.join(asked)}")
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: config[name] for name in names if name in config})

    def violations(self) -> list[str]:
        """Name the fields with which sigmas would not fall from 1 to 0 in FP32; diffusers looks at none of them."""
        linear = self.time_shift_type == "linear"
        usable = {
            "num_train_timesteps": self.num_train_timesteps >= 1,
            "shift_terminal": 0 <= (self.shift_terminal or 0) < 1,
            "time_shift_type": linear or self.time_shift_type == "exponential",
        }
        if self.use_dynamic_shifting:
            low, high = (1 / LARGEST_SHIFT, LARGEST_SHIFT) if linear else (-_LARGEST_LOG_SHIFT, _LARGEST_LOG_SHIFT)
            usable["base_shift"] = low <= self.base_shift <= high
            usable["max_shift"] = low <= self.max_shift <= high
            usable["max_image_seq_len"] = self.max_image_seq_len > self.base_image_seq_len
        else:
            usable["shift"] = 1 / LARGEST_SHIFT <= self.shift <= LARGEST_SHIFT
        return [name for name, is_usable in usable.items() if not is_usable]


@dataclass(frozen=True)
class ServedShapes:
    """Shapes that the exported networks take.

    Args:
        sizes: Width and height in pixels of results, the default first.
        texts: (conditioning pictures, padded text length) that go together; see `export.buckets`.
        max_batch: Most candidates, texts or pictures in one run of a network.
        fixed: Whether engines were built for these shapes alone; a graph takes others, too.
    """

    sizes: tuple[tuple[int, int], ...]
    texts: tuple[tuple[int, int], ...]
    max_batch: int
    fixed: bool

    @property
    def max_pictures(self) -> int:
        """Most conditioning pictures of a request."""
        return max(pictures for pictures, _ in self.texts)


@dataclass(frozen=True)
class NoiseShape:
    """The shape in which a checkpoint's pipeline draws its noise, and how it packs it.

    Args:
        depth: Latent channels.
        height, width: In latent cells; multiples of ``patch``.
        patch: Side of the square of cells that becomes one token.
    """

    depth: int
    height: int
    width: int
    patch: int

    @property
    def tokens(self) -> int:
        """Tokens of the packed noise."""
        return (self.height // self.patch) * (self.width // self.patch)

    @property
    def channels(self) -> int:
        """Channels of one token."""
        return self.depth * self.patch**2


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """One checkpoint.

    Args:
        backbone: Name of its backbone; see `eacps.models.backbones`.
        name: For people and for records.
        version: Digest of the checkpoint's weights; two checkpoints of one version condition alike.
        vae_scale: Pixels of a picture per latent cell, along each side.
        latent_depth: Channels of the latents as noise is drawn.
        patch_size: Side of the square of latent cells that becomes one token.
        default_steps: Sampler steps the checkpoint is meant for.
        guidance: How it heeds a negative prompt.
        schedule: Sigmas.
        shapes: What the networks were exported for.
    """

    backbone: str
    name: str
    version: str
    vae_scale: int
    latent_depth: int
    patch_size: int
    default_steps: int
    guidance: Guidance
    schedule: ScheduleConfig
    shapes: ServedShapes

    @property
    def packed_channels(self) -> int:
        """Channels of a packed latent token."""
        return self.latent_depth * self.patch_size**2

    @property
    def size_multiple(self) -> int:
        """Height and width of a result are multiples of this."""
        return self.patch_size * self.vae_scale

    def noise_shape(self, height: int, width: int) -> NoiseShape:
        """Return the shape of the noise of a result, by its height and width in pixels."""
        return NoiseShape(self.latent_depth, height // self.vae_scale, width // self.vae_scale, self.patch_size)

    def to_json(self) -> str:
        """Return the text of ``checkpoint.json``."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Restore an equal configuration from ``to_json``'s text.

        Raises:
            TypeError: A field is missing or unknown.
        """
        restored: Self = _restored(cls, json.loads(text))
        return restored

    def fingerprint(self) -> str:
        """Digest of the whole configuration, the weights' version among them."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _restored(kind: Any, value: Any) -> Any:
    """Make a value of JSON what it was: a dataclass, an enumeration or tuples within tuples."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, dict):
        hints = get_type_hints(kind)
        return kind(**{name: _restored(hints.get(name), one) for name, one in value.items()})
    if isinstance(value, list):
        return tuple(_restored(None, one) for one in value)
    return kind(value) if isinstance(kind, type) and issubclass(kind, StrEnum) else value
