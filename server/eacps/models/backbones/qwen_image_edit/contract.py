"""Contract 3 of Qwen-Image-Edit: its networks. Imports no torch: processes that run a graph do without."""

from eacps.tensors import (
    JUDGE_NETWORK,
    MAX_BACKBONE_BATCH,
    VAE_DECODER,
    VAE_ENCODER,
    DType,
    Kind,
    ModelSpec,
    TensorSpec,
)

# One evaluation of the diffusion transformer: the velocity of the noisy latents, beside text and conditioning pictures.
# picture_latents are the packed latents of all conditioning pictures, one picture after the other. RoPE tables hold
# (cos, sin) pairs; those of img_rope are of the latents' tokens, then of the pictures'. The shapes say everything that
# rows must have in common to be evaluated together: how many tokens are text, result and pictures.
DENOISER = ModelSpec(
    name="denoiser",
    kind=Kind.NETWORK,
    max_batch_size=MAX_BACKBONE_BATCH,
    dynamic_batching=True,
    inputs=(
        TensorSpec("latents", DType.FP32, ("latent_tokens", "latent_channels")),
        TensorSpec("picture_latents", DType.FP32, ("picture_tokens", "latent_channels")),
        TensorSpec("encoder_hidden_states", DType.FP32, ("text_tokens", "text_channels")),
        TensorSpec("encoder_hidden_states_mask", DType.BOOL, ("text_tokens",)),
        TensorSpec("timestep", DType.FP32, (1,)),
        TensorSpec("img_rope", DType.FP32, ("image_tokens", "rope_pairs", 2)),
        TensorSpec("txt_rope", DType.FP32, ("text_tokens", "rope_pairs", 2)),
    ),
    outputs=(TensorSpec("velocity", DType.FP32, ("latent_tokens", "latent_channels")),),
)

# Qwen2.5-VL up to its last hidden state (after the final norm). image_index is 0 for text, k for the k-th merged
# picture token of the request item, counted from 1 through all its pictures. position_ids are 3-D mRoPE positions.
# All pictures of a request have one size; vision_rope holds (cos, sin) pairs of their patches, vision_window the
# attention window in which each patch lies.
TEXT_ENCODER = ModelSpec(
    name="text_encoder",
    kind=Kind.NETWORK,
    max_batch_size=MAX_BACKBONE_BATCH,
    dynamic_batching=True,
    inputs=(
        TensorSpec("pixel_values", DType.FP32, ("pictures", "patches", "patch_values")),
        TensorSpec("vision_rope", DType.FP32, ("patches", "vision_rope_pairs", 2)),
        TensorSpec("vision_window", DType.INT64, ("patches",)),
        TensorSpec("input_ids", DType.INT64, ("tokens",)),
        TensorSpec("attention_mask", DType.INT64, ("tokens",)),
        TensorSpec("position_ids", DType.INT64, (3, "tokens")),
        TensorSpec("image_index", DType.INT64, ("tokens",)),
    ),
    outputs=(TensorSpec("hidden_states", DType.FP32, ("tokens", "text_channels")),),
)

# Another Qwen2.5-VL, which a checkpoint may bring to answer questions: the state of each text's last token. Two rows of
# its language head make the answer of it. Inputs are the text encoder's.
JUDGE = ModelSpec(
    name=JUDGE_NETWORK,
    kind=Kind.NETWORK,
    max_batch_size=MAX_BACKBONE_BATCH,
    dynamic_batching=True,
    optional=True,
    inputs=TEXT_ENCODER.inputs,
    outputs=(TensorSpec("last_state", DType.FP32, ("text_channels",)),),
)

NETWORKS = (DENOISER, TEXT_ENCODER, VAE_ENCODER, VAE_DECODER, JUDGE)
