"""How checkpoints of FLUX.2 klein are exported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from diffusers import Flux2KleinPipeline
from diffusers.loaders.lora_pipeline import Flux2LoraLoaderMixin

from eacps.models.backbones.flux2_klein.config import NAME, Config
from eacps.models.backbones.flux2_klein.contract import DENOISER, TEXT_ENCODER
from eacps.models.checkpoint_config import (
    TOKENIZER_FILE,
    Guidance,
    ScheduleConfig,
    ServedShapes,
    UnsupportedCheckpoint,
)
from eacps.tensors import VAE_DECODER, VAE_ENCODER
from export.backbones.backbone import BackboneExporter
from export.backbones.flux2_klein.checkpoint import (
    MAX_PICTURES,
    PARTS,
    READERS,
    CheckpointSettings,
    chat_template,
    load_skeleton,
    load_text_encoder,
    load_transformer,
    load_vae,
)
from export.backbones.flux2_klein.denoiser import DenoiserNetwork
from export.backbones.flux2_klein.shapes import KleinShapes
from export.backbones.flux2_klein.text_encoder import TextEncoderNetwork
from export.backbones.flux2_klein.vae import PATCH, VaeDecoderNetwork, VaeEncoderNetwork
from export.buckets import Buckets, check_sizes, served_buckets
from export.checkpoint import IncompleteCheckpoint
from export.jobs import LORA_CODE, NetworkJob, pipeline_job
from export.networks.network import Network
from export.precision import Precision
from export.prepared import PreparedCheckpoint
from export.request import ExportRequest, InvalidOption
from export.schedules import SCHEDULES

CODE = ("export.backbones.flux2_klein.checkpoint", "export.backbones.flux2_klein.shapes")
MIN_SIDE = 64
"""Pixels; the pipeline refuses smaller conditioning pictures."""


class KleinExporter(BackboneExporter[CheckpointSettings, Config]):
    """See `export.backbones.backbone.BackboneExporter`."""

    name = NAME
    parts = PARTS
    readers = READERS
    tokenizer_folder = "tokenizer"
    lora_loader = Flux2LoraLoaderMixin

    def settings(self, checkpoint: Path, name: str) -> CheckpointSettings:
        """Read ``eacps.json``, or take the pipeline's default arguments."""
        return CheckpointSettings.read(checkpoint, name)

    def skeleton(self, checkpoint: Path) -> Flux2KleinPipeline:
        """Put the pipeline together without weights."""
        return load_skeleton(checkpoint)

    def check_tokenizer(self, checkpoint: Path, pipeline: Flux2KleinPipeline) -> None:
        """Check the size of the vocabulary, and that there is a token to pad with."""
        tokens, rows = len(pipeline.tokenizer), pipeline.text_encoder.config.vocab_size
        if tokens > rows:
            raise IncompleteCheckpoint(f"{checkpoint}: the tokenizer has {tokens} tokens, the text encoder {rows}")
        if pipeline.tokenizer.pad_token_id is None:
            raise IncompleteCheckpoint(f"{checkpoint}: the tokenizer has no token to pad with")

    def buckets(
        self,
        checkpoint: Path,  # noqa: ARG002  # all take the same number of pictures
        settings: CheckpointSettings,
        pipeline: Flux2KleinPipeline,
        request: ExportRequest,
    ) -> Buckets:
        """Choose the sizes; all texts have one length, whatever pictures there are.

        Raises:
            InvalidOption: A size is too small, or the schedule is that of another backbone's distilled checkpoints.
        """
        if request.schedule in SCHEDULES:
            raise InvalidOption(f"--schedule {request.schedule} is for LoRAs of Qwen-Image-Edit, not for FLUX.2 klein")
        multiple = PATCH * pipeline.vae_scale_factor
        asked = check_sizes(request.sizes, multiple)
        if any(min(size) < MIN_SIDE for size in asked):
            raise InvalidOption(f"sizes must not be shorter than {MIN_SIDE} pixels")
        return served_buckets(
            settings.side // multiple * multiple,
            MAX_PICTURES,
            sizes=asked,
            pictures=request.pictures,
            batch=request.batch,
            texts=lambda _sizes, most: tuple((count, settings.text_tokens) for count in range(1, most + 1)),
        )

    def config(
        self, pipeline: Flux2KleinPipeline, settings: CheckpointSettings, version: str, shapes: ServedShapes
    ) -> Config:
        """Read the configuration off a pipeline.

        Raises:
            UnsupportedCheckpoint: Its parts do not fit one another, or its schedule is another kind.
        """
        _check_parts(pipeline, settings)
        transformer = pipeline.transformer.config
        return Config(
            name=settings.name,
            version=version,
            vae_scale=PATCH * pipeline.vae_scale_factor,
            latent_depth=transformer.in_channels,
            patch_size=1,
            default_steps=settings.default_steps,
            guidance=Guidance.DISTILLED if pipeline.config.is_distilled else Guidance.TRUE_CFG,
            schedule=ScheduleConfig.from_scheduler_config(dict(pipeline.scheduler.config)),
            shapes=shapes,
            rope_axes=tuple(transformer.axes_dims_rope),
            rope_theta=transformer.rope_theta,
            text_tokens=settings.text_tokens,
            template=chat_template(pipeline.tokenizer),
            pad_token=pipeline.tokenizer.pad_token_id,
            pad_left=pipeline.tokenizer.padding_side == "left",
        )

    def shapes(self, config: Config, buckets: Buckets, pipeline: Flux2KleinPipeline) -> KleinShapes:
        """Return the shapes of the networks."""
        return KleinShapes(config, buckets, pipeline.transformer.config.joint_attention_dim)

    def jobs(self, prepared: PreparedCheckpoint) -> Iterator[NetworkJob]:
        """Yield autoencoder, text encoder and denoiser."""
        folder, shapes, fixed = prepared.ingredients.source.folder, _shapes(prepared), prepared.target.fixed_shapes
        for spec, network in ((VAE_DECODER, VaeDecoderNetwork), (VAE_ENCODER, VaeEncoderNetwork)):
            yield pipeline_job(
                prepared,
                spec=spec,
                network=network,
                part="vae",
                # A small share of the work, and the last to touch the picture.
                precision=Precision.FP32,
                code=CODE,
                load=lambda spec=spec, network=network: network(  # type: ignore[misc]
                    load_vae(folder), shapes.vae_cases(spec, fixed=fixed)
                ),
            )
        layers = _settings(prepared).text_layers
        yield pipeline_job(
            prepared,
            spec=TEXT_ENCODER,
            network=TextEncoderNetwork,
            part="text_encoder",
            precision=prepared.precision,
            settings=(repr(layers), repr(shapes.config.pad_left)),
            code=CODE,
            load=lambda: TextEncoderNetwork(load_text_encoder(folder), layers, shapes.text_cases(fixed=fixed)),
        )
        yield self._denoiser_job(prepared, shapes)

    def write_assets(self, folder: Path, prepared: PreparedCheckpoint) -> None:
        """Write the tokenizer."""
        prepared.pipeline.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))

    def _denoiser_job(self, prepared: PreparedCheckpoint, shapes: KleinShapes) -> NetworkJob:
        folder, lora, fixed = prepared.ingredients.source.folder, prepared.lora, prepared.target.fixed_shapes

        def load() -> Network:
            transformer = load_transformer(folder)
            if lora is not None:
                lora.fuse_into(transformer)
            return DenoiserNetwork(transformer, shapes.denoiser_cases(fixed=fixed))

        return pipeline_job(
            prepared,
            spec=DENOISER,
            network=DenoiserNetwork,
            part="transformer",
            precision=prepared.precision,
            case_tokens=shapes.denoiser_case_tokens(fixed=fixed),
            files=() if lora is None else (lora.file,),
            settings=(str(prepared.additions.get("lora")),),
            code=(*CODE, *LORA_CODE),
            load=load,
        )


def _check_parts(pipeline: Flux2KleinPipeline, settings: CheckpointSettings) -> None:
    transformer, text_encoder, vae = (
        part.config for part in (pipeline.transformer, pipeline.text_encoder, pipeline.vae)
    )
    embedded = len(settings.text_layers) * text_encoder.hidden_size
    wrong = {
        "the transformer has a guidance embedding": transformer.guidance_embeds,
        "the transformer's patches are not single tokens": transformer.patch_size != 1,
        f"the transformer takes embeddings of {transformer.joint_attention_dim} channels, "
        f"the text encoder gives {embedded}": transformer.joint_attention_dim != embedded,
        f"the text encoder has {text_encoder.num_hidden_layers} layers, layer {max(settings.text_layers)} is read": (
            # The last layer's states would be those after the final norm.
            max(settings.text_layers) >= text_encoder.num_hidden_layers
        ),
        f"the transformer takes latents of {transformer.in_channels} channels, the autoencoder gives "
        f"{PATCH**2 * vae.latent_channels}": transformer.in_channels != PATCH**2 * vae.latent_channels,
        "the text encoder attends within sliding windows": "sliding_attention" in text_encoder.layer_types,
        "the schedule is not shifted by the picture's size": not pipeline.scheduler.config.use_dynamic_shifting,
    }
    if found := [what for what, is_so in wrong.items() if is_so]:
        raise UnsupportedCheckpoint("; ".join(found))


def _settings(prepared: PreparedCheckpoint) -> CheckpointSettings:
    if not isinstance(prepared.settings, CheckpointSettings):
        raise TypeError(f"{prepared.config.backbone} is another backbone")
    return prepared.settings


def _shapes(prepared: PreparedCheckpoint) -> KleinShapes:
    shapes = prepared.shapes.backbone
    if not isinstance(shapes, KleinShapes):
        raise TypeError(f"{prepared.config.backbone} is another backbone")
    return shapes


EXPORTER = KleinExporter()
