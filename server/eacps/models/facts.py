"""What the Python models must know of the checkpoint whose networks they call.

The exporter reads these facts off the checkpoint's own objects and writes them as JSON beside `qwen_edit` and
`vlm_judge`, so that no number of one checkpoint stands in the code of the models.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Where the exporter puts them: files in `<model>/<version>/assets/` of both `qwen_edit` and `vlm_judge`.
ASSETS_FOLDER = "assets"
FACTS_FILE = "checkpoint.json"
TOKENIZER_FILE = "tokenizer.json"  # the checkpoint's fast tokenizer, as the `tokenizers` library reads it
# `vlm_judge` only: arrays "yes" and "no", float32 [text channels], the rows of the language head for the first token
# of `prompt.YES` and of `prompt.NO`.
JUDGE_HEAD_FILE = "judge_head.npz"


class UnsupportedCheckpoint(ValueError):
    """The checkpoint asks for something the sampler does not do."""


@dataclass(frozen=True)
class VisionFacts:
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


@dataclass(frozen=True)
class ScheduleFacts:
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
    def from_scheduler_config(cls, config: dict[str, Any]) -> "ScheduleFacts":
        """Pick the fields out of a scheduler's config.

        Raises:
            UnsupportedCheckpoint: The config turns on a schedule or a sampler that ours does not have.
        """
        foreign = ("invert_sigmas", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
        if asked := [name for name in (*foreign, "stochastic_sampling") if config.get(name)]:
            raise UnsupportedCheckpoint(f"scheduler config turns on {', '.join(asked)}")
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: config[name] for name in names if name in config})


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
class CheckpointFacts:
    """One checkpoint.

    Args:
        name: For people and for records.
        version: Digest of the checkpoint's weights; two checkpoints of one version condition alike.
        vae_scale: Pixels of a picture per latent cell, along each side.
        latent_depth: Channels of the latents before 2x2 packing.
        condition_image_area, vae_image_area: Pixels to which a conditioning picture is fitted for the text encoder and
            for the VAE.
        default_steps: Sampler steps the checkpoint is meant for.
        rope_axes: Channels of a head that turn with frame, row and column; each even.
        rope_theta: Base of the rotary frequencies.
        edit_template: Prompt template with one ``{}``; where it shows a picture itself, it is for one picture alone.
        template_tokens: Tokens at its beginning, before any picture, which are dropped from the embeddings.
        vision: Picture preprocessing of Qwen2.5-VL.
        schedule: Sigmas.
        shapes: What the networks were exported for.
    """

    name: str
    version: str
    vae_scale: int
    latent_depth: int
    condition_image_area: int
    vae_image_area: int
    default_steps: int
    rope_axes: tuple[int, int, int]
    rope_theta: int
    edit_template: str
    template_tokens: int
    vision: VisionFacts
    schedule: ScheduleFacts
    shapes: ServedShapes

    @property
    def packed_channels(self) -> int:
        """Channels of a packed latent token: 2x2 cells."""
        return 4 * self.latent_depth

    @property
    def size_multiple(self) -> int:
        """Height and width of a result are multiples of this."""
        return 2 * self.vae_scale

    def to_json(self) -> str:
        """Give the text of ``checkpoint.json``."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "CheckpointFacts":
        """Restore equal facts from ``to_json``'s text.

        Raises:
            TypeError: A field is missing or unknown.
        """
        fields = json.loads(text)
        vision = _tuples(fields.pop("vision"), "image_mean", "image_std")
        schedule = ScheduleFacts(**fields.pop("schedule"))
        shapes = fields.pop("shapes")
        pairs: dict[str, Any] = {key: tuple(tuple(pair) for pair in shapes.pop(key)) for key in ("sizes", "texts")}
        return cls(
            **_tuples(fields, "rope_axes"),
            vision=VisionFacts(**vision),
            schedule=schedule,
            shapes=ServedShapes(**pairs, **shapes),
        )

    @classmethod
    def read(cls, assets: Path) -> "CheckpointFacts":
        """Read ``checkpoint.json`` of an assets folder."""
        return cls.from_json((assets / FACTS_FILE).read_text(encoding="utf-8"))

    def fingerprint(self) -> str:
        """Digest of all facts, the weights' version among them."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _tuples(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: tuple(value) if key in names else value for key, value in fields.items()}
