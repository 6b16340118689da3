"""Contract 3 of FLUX.2 klein: its networks. Imports no torch: processes that run a graph do without."""

from eacps.tensors import MAX_BACKBONE_BATCH, VAE_DECODER, VAE_ENCODER, DType, Kind, ModelSpec, TensorSpec

# One evaluation of the diffusion transformer: the velocity of the noisy latents, beside text and conditioning pictures.
# picture_latents are the latents of all conditioning pictures, one picture after the other. RoPE tables hold (cos, sin)
# pairs; those of img_rope are of the latents' tokens, then of the pictures'. All tokens of the text are attended to,
# those of its padding too: the checkpoints were trained so.
DENOISER = ModelSpec(
    name="denoiser",
    kind=Kind.NETWORK,
    max_batch_size=MAX_BACKBONE_BATCH,
    dynamic_batching=True,
    inputs=(
        TensorSpec("latents", DType.FP32, ("latent_tokens", "latent_channels")),
        TensorSpec("picture_latents", DType.FP32, ("picture_tokens", "latent_channels")),
        TensorSpec("encoder_hidden_states", DType.FP32, ("text_tokens", "text_channels")),
        TensorSpec("timestep", DType.FP32, (1,)),
        TensorSpec("img_rope", DType.FP32, ("image_tokens", "rope_pairs", 2)),
        TensorSpec("txt_rope", DType.FP32, ("text_tokens", "rope_pairs", 2)),
    ),
    outputs=(TensorSpec("velocity", DType.FP32, ("latent_tokens", "latent_channels")),),
)

# Qwen3 up to the last layer that is asked for; the hidden states of three layers side by side.
TEXT_ENCODER = ModelSpec(
    name="text_encoder",
    kind=Kind.NETWORK,
    max_batch_size=MAX_BACKBONE_BATCH,
    dynamic_batching=True,
    inputs=(
        TensorSpec("input_ids", DType.INT64, ("tokens",)),
        TensorSpec("attention_mask", DType.INT64, ("tokens",)),
    ),
    outputs=(TensorSpec("hidden_states", DType.FP32, ("tokens", "text_channels")),),
)

# The autoencoder's latents are those of squares of 2x2 cells, normalized by its batch norm.
NETWORKS = (DENOISER, TEXT_ENCODER, VAE_ENCODER, VAE_DECODER)
