"""Contract 3: name, dtype and shape of every tensor that goes into or comes out of a Triton model.

The client reads it to build requests, the exporter to name the inputs and outputs of the networks, and every
``config.pbtxt`` is generated from it. It knows nothing of Triton's client or of any framework.

An axis is a number where the contract fixes it, else a name: axes of the same name are equal within one request,
and all of them are ``-1`` in ``config.pbtxt``. Axes never include the batch axis of models with ``max_batch_size``.
"""

from dataclasses import dataclass
from enum import StrEnum

Axis = int | str

MAX_BACKBONE_BATCH = 16
MAX_RECOGNIZER_BATCH = 16
MAX_CONDITIONING_PICTURES = 3
"""Pictures that a backbone sees at once, the prior included."""
BACKBONE_PARAMETER = "backbone"
"""Of the configuration of the sampler, the judge and a backbone's networks: the backbone's name."""
JUDGE_NETWORK = "judge"
"""Network of a backbone that answers questions, where a checkpoint brings one; elsewhere the text encoder may."""
BUILD_PARAMETER = "build"
"""Of a program's configuration: the build it belongs to. Of a request: the build it is meant for."""
OTHER_BUILD = "another build"
"""How the message begins with which a program refuses a request that is meant for another build."""


class DType(StrEnum):
    """Data types by their Triton names (``config.pbtxt`` writes ``TYPE_<name>``).

    ``BYTES`` is left out on purpose: text travels as UTF-8 in UINT8. The embedded server's Python backend was built
    for numpy 1, and with numpy 2 a BYTES input kills its process, ``pb_utils.Tensor.as_numpy()`` repeats the first
    element of any input, and ``pb_utils.Tensor(name, array)`` sends nothing. DLPack is sound in both directions:
    ``numpy.from_dlpack(tensor)`` or ``torch.from_dlpack(tensor.to_dlpack())`` in,
    ``Tensor.from_dlpack(name, torch_tensor)`` out.
    """

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT32 = "UINT32"
    INT32 = "INT32"
    INT64 = "INT64"
    FP32 = "FP32"

    @property
    def numpy_name(self) -> str:
        """The name by which ``numpy.dtype`` knows it."""
        return _NUMPY_NAMES[self]


_NUMPY_NAMES = {
    DType.BOOL: "bool",
    DType.UINT8: "uint8",
    DType.UINT32: "uint32",
    DType.INT32: "int32",
    DType.INT64: "int64",
    DType.FP32: "float32",
}


class Kind(StrEnum):
    """What executes the model: a network (ONNX or engine, by target) or a program (always the Python backend)."""

    NETWORK = "network"
    PROGRAM = "program"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output."""

    name: str
    dtype: DType
    axes: tuple[Axis, ...]
    optional: bool = False

    @property
    def dims(self) -> tuple[int, ...]:
        """Shape as in ``config.pbtxt``: named axes become -1."""
        return tuple(axis if isinstance(axis, int) else -1 for axis in self.axes)


@dataclass(frozen=True)
class ModelSpec:
    """One Triton model.

    ``max_batch_size`` 0: shapes carry no implicit batch axis. ``optional``: a repository may lack it.
    """

    name: str
    kind: Kind
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int = 0
    dynamic_batching: bool = False
    decoupled: bool = False
    optional: bool = False

    def input(self, name: str) -> TensorSpec:
        """The input called ``name``; KeyError if there is none."""
        return {spec.name: spec for spec in self.inputs}[name]

    def output(self, name: str) -> TensorSpec:
        """The output called ``name``; KeyError if there is none."""
        return {spec.name: spec for spec in self.outputs}[name]


# Picture in [-1, 1] to the mode of its latents, normalized by the checkpoint's latents_mean and latents_std.
VAE_ENCODER = ModelSpec(
    name="vae_encoder",
    kind=Kind.NETWORK,
    max_batch_size=MAX_BACKBONE_BATCH,
    dynamic_batching=True,
    inputs=(TensorSpec("picture", DType.FP32, (3, "height", "width")),),
    outputs=(TensorSpec("latents", DType.FP32, ("latent_depth", "latent_height", "latent_width")),),
)

# Normalized latents back to a picture, clamped to [-1, 1].
VAE_DECODER = ModelSpec(
    name="vae_decoder",
    kind=Kind.NETWORK,
    max_batch_size=MAX_BACKBONE_BATCH,
    dynamic_batching=True,
    inputs=(TensorSpec("latents", DType.FP32, ("latent_depth", "latent_height", "latent_width")),),
    outputs=(TensorSpec("picture", DType.FP32, (3, "height", "width")),),
)

# SCRFD, batch 1: scores, boxes and landmarks at strides 8, 16, 32; names ours, order InsightFace's.
FACE_DETECTOR = ModelSpec(
    name="face_detector",
    kind=Kind.NETWORK,
    inputs=(TensorSpec("input", DType.FP32, (1, 3, "height", "width")),),
    outputs=tuple(
        TensorSpec(f"{head}_{stride}", DType.FP32, (f"anchors_{stride}", values))
        for head, values in (("score", 1), ("bbox", 4), ("kps", 10))
        for stride in (8, 16, 32)
    ),
)

FACE_RECOGNIZER = ModelSpec(
    name="face_recognizer",
    kind=Kind.NETWORK,
    max_batch_size=MAX_RECOGNIZER_BATCH,
    dynamic_batching=True,
    inputs=(TensorSpec("input", DType.FP32, (3, 112, 112)),),
    outputs=(TensorSpec("embedding", DType.FP32, (512,)),),
)

# inswapper: aligned target crop in [0, 1] and the character's latent (normalized embedding times emap, normalized).
# A repository without it serves no `face_prior`: priors are then made without a face swap.
FACE_SWAPPER = ModelSpec(
    name="face_swapper",
    kind=Kind.NETWORK,
    optional=True,
    inputs=(
        TensorSpec("target", DType.FP32, (1, 3, 128, 128)),
        TensorSpec("source", DType.FP32, (1, 512)),
    ),
    outputs=(TensorSpec("output", DType.FP32, (1, 3, 128, 128)),),
)

# Faces of RGB pictures, in the order of InsightFace's FaceAnalysis.get: by falling detection score. There are as many
# rows as the picture with the most faces has, at least one; rows beyond a picture's count are zero. Boxes are xyxy
# pixels; embeddings have unit norm.
FACE_EMBED = ModelSpec(
    name="face_embed",
    kind=Kind.PROGRAM,
    inputs=(TensorSpec("pictures", DType.UINT8, ("pictures", "height", "width", 3)),),
    outputs=(
        TensorSpec("counts", DType.INT32, ("pictures",)),
        TensorSpec("boxes", DType.FP32, ("pictures", "faces", 4)),
        TensorSpec("landmarks", DType.FP32, ("pictures", "faces", 5, 2)),
        TensorSpec("detection_scores", DType.FP32, ("pictures", "faces")),
        TensorSpec("embeddings", DType.FP32, ("pictures", "faces", 512)),
    ),
)

# A second recognizer that nothing was trained or searched with; its embeddings do not compare with the first one's.
FACE_VERIFIER = ModelSpec(
    name="face_verifier",
    kind=Kind.NETWORK,
    max_batch_size=MAX_RECOGNIZER_BATCH,
    dynamic_batching=True,
    optional=True,
    inputs=(TensorSpec("input", DType.FP32, (3, 112, 112)),),
    outputs=(TensorSpec("embedding", DType.FP32, ("features",)),),
)

# As `face_embed`, by the held-out verifier.
FACE_VERIFY = ModelSpec(
    name="face_verify",
    kind=Kind.PROGRAM,
    optional=True,
    inputs=(TensorSpec("pictures", DType.UINT8, ("pictures", "height", "width", 3)),),
    outputs=(
        TensorSpec("counts", DType.INT32, ("pictures",)),
        TensorSpec("embeddings", DType.FP32, ("pictures", "faces", "features")),
    ),
)

# The identity prior by face swap: the identity source, of unit norm, put over the scene's face that has these landmarks
# (pixels, in the detector's order).
FACE_PRIOR = ModelSpec(
    name="face_prior",
    kind=Kind.PROGRAM,
    optional=True,
    inputs=(
        TensorSpec("scene", DType.UINT8, ("height", "width", 3)),
        TensorSpec("landmarks", DType.FP32, (5, 2)),
        TensorSpec("source", DType.FP32, (512,)),
    ),
    outputs=(TensorSpec("prior", DType.UINT8, ("height", "width", 3)),),
)

# The sampler. pictures: prior first, then references, all of the size of the result. With an edit mask (255 may
# change, 0 must not) the scene is needed too: outside the mask the result is the scene's, pixel for pixel.
# Recipes are rows of seeds and coefficients, padded with coefficient 0. Runs the steps of a schedule of `steps` from
# start_step on. Above 0, finished pictures are restarted: their latents, packed and FP32, are noised to the level of
# that step with each candidate's noise. negative_prompt takes effect where the scale exceeds 1. Prompts are UTF-8.
# Faults of a request read "<input>: <what is wrong>", joined by "; ", so that a caller can tell its own from those of
# the configuration.
SAMPLER = ModelSpec(
    name="sampler",
    kind=Kind.PROGRAM,
    decoupled=True,
    inputs=(
        TensorSpec("pictures", DType.UINT8, ("pictures", "height", "width", 3)),
        TensorSpec("scene", DType.UINT8, ("height", "width", 3), optional=True),
        TensorSpec("edit_mask", DType.UINT8, ("height", "width"), optional=True),
        TensorSpec("prompt", DType.UINT8, ("prompt_bytes",)),
        TensorSpec("negative_prompt", DType.UINT8, ("negative_prompt_bytes",), optional=True),
        TensorSpec("true_cfg_scale", DType.FP32, (1,)),
        TensorSpec("seeds", DType.UINT32, ("candidates", "terms")),
        TensorSpec("coefficients", DType.FP32, ("candidates", "terms")),
        TensorSpec("steps", DType.INT32, (1,)),
        TensorSpec("start_step", DType.INT32, (1,)),
        TensorSpec("latents", DType.FP32, ("candidates", "latent_tokens", "latent_channels"), optional=True),
    ),
    outputs=(
        TensorSpec("pictures", DType.UINT8, ("candidates", "height", "width", 3)),
        TensorSpec("latents", DType.FP32, ("candidates", "latent_tokens", "latent_channels")),
    ),
)

# Served where a network of the backbone can see pictures and answer.
# Yes/no questions about pictures (one item: one or more pictures shown together): P(yes) by item and question.
# Questions are UTF-8, one a line.
VLM_JUDGE = ModelSpec(
    name="vlm_judge",
    kind=Kind.PROGRAM,
    optional=True,
    inputs=(
        TensorSpec("pictures", DType.UINT8, ("items", "pictures", "height", "width", 3)),
        TensorSpec("questions", DType.UINT8, ("questions_bytes",)),
    ),
    outputs=(TensorSpec("p_yes", DType.FP32, ("items", "questions")),),
)

MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        VAE_ENCODER,
        VAE_DECODER,
        FACE_DETECTOR,
        FACE_RECOGNIZER,
        FACE_SWAPPER,
        FACE_VERIFIER,
        FACE_EMBED,
        FACE_VERIFY,
        FACE_PRIOR,
        SAMPLER,
        VLM_JUDGE,
    )
}
