"""How checkpoints of Qwen-Image-Edit are exported."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from diffusers import AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel
from diffusers.loaders.lora_pipeline import QwenImageLoraLoaderMixin
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from eacps.models.backbones.qwen_image_edit.config import NAME, Config
from eacps.models.backbones.qwen_image_edit.contract import DENOISER, JUDGE, TEXT_ENCODER
from eacps.models.backbones.qwen_image_edit.preprocessing import condition_grid
from eacps.models.backbones.qwen_image_edit.prompt import IMAGE_PAD
from eacps.models.checkpoint_config import ServedShapes, UnsupportedCheckpoint
from eacps.tensors import VAE_DECODER, VAE_ENCODER, ModelSpec
from export.backbones.backbone import BackboneExporter
from export.backbones.qwen_image_edit.assets import (
    read_checkpoint_config,
    vision_config,
    write_judge_head,
    write_tokenizer,
)
from export.backbones.qwen_image_edit.case_shapes import CaseShapes
from export.backbones.qwen_image_edit.checkpoint import (
    JUDGE_PART,
    OPTIONAL_PARTS,
    PARTS,
    CheckpointSettings,
    EditPipeline,
    load_judge,
    load_skeleton,
    load_text_encoder,
    load_transformer,
    load_vae,
    max_pictures,
)
from export.backbones.qwen_image_edit.denoiser import DenoiserNetwork
from export.backbones.qwen_image_edit.judge import JudgeNetwork
from export.backbones.qwen_image_edit.processor import EditProcessor
from export.backbones.qwen_image_edit.shapes import QwenShapes
from export.backbones.qwen_image_edit.text_encoder import TextEncoderNetwork, TextShape
from export.backbones.qwen_image_edit.vae import VaeDecoderNetwork, VaeEncoderNetwork
from export.buckets import Buckets, Size, buckets_for, check_sizes
from export.checkpoint import IncompleteCheckpoint
from export.jobs import LORA_CODE, NetworkJob, pipeline_job
from export.networks.network import Network
from export.precision import Precision
from export.prepared import PreparedCheckpoint
from export.request import ExportRequest

CHECKPOINT_CODE = "export.backbones.qwen_image_edit.checkpoint"


class QwenExporter(BackboneExporter[CheckpointSettings, Config]):
    """See `export.backbones.backbone.BackboneExporter`."""

    name = NAME
    parts = PARTS
    optional_parts = OPTIONAL_PARTS
    readers = {  # noqa: RUF012  # annotated in the base class
        "transformer": lambda folder: QwenImageTransformer2DModel.from_config(
            QwenImageTransformer2DModel.load_config(folder, subfolder="transformer")
        ),
        "vae": lambda folder: AutoencoderKLQwenImage.from_config(
            AutoencoderKLQwenImage.load_config(folder, subfolder="vae")
        ),
        "text_encoder": lambda folder: Qwen2_5_VLForConditionalGeneration(
            Qwen2_5_VLConfig.from_pretrained(folder / "text_encoder")
        ),
        JUDGE_PART: lambda folder: Qwen2_5_VLForConditionalGeneration(
            Qwen2_5_VLConfig.from_pretrained(folder / JUDGE_PART)
        ),
        "processor": lambda folder: EditProcessor.from_pretrained(folder / "processor"),
        "scheduler": lambda folder: FlowMatchEulerDiscreteScheduler.from_pretrained(folder, subfolder="scheduler"),
    }
    tokenizer_folder = "processor"
    lora_loader = QwenImageLoraLoaderMixin
    answers_questions = True

    def settings(self, checkpoint: Path, name: str) -> CheckpointSettings:
        """Read ``eacps.json``, or take the pipeline's constants."""
        return CheckpointSettings.read(checkpoint, name)

    def skeleton(self, checkpoint: Path) -> EditPipeline:
        """Put the pipeline together without weights."""
        return load_skeleton(checkpoint)

    def check_tokenizer(self, checkpoint: Path, pipeline: EditPipeline) -> None:
        """Check the number of the mark that stands for a picture's token, too, and the judge's embeddings."""
        readers = {"text encoder": pipeline.text_encoder.config}
        if hasattr(pipeline, JUDGE_PART):
            readers["judge"] = pipeline.judge.config
        tokens, given = len(pipeline.tokenizer), pipeline.tokenizer.convert_tokens_to_ids(IMAGE_PAD)
        for name, config in readers.items():
            rows, expected = config.text_config.vocab_size, config.image_token_id
            if given != expected:
                raise IncompleteCheckpoint(
                    f"{checkpoint}: the tokenizer numbers {IMAGE_PAD} {given}, the {name} expects it as {expected}"
                )
            if tokens > rows:
                raise IncompleteCheckpoint(f"{checkpoint}: the tokenizer has {tokens} tokens, the {name} {rows}")

    def buckets(
        self, checkpoint: Path, settings: CheckpointSettings, pipeline: EditPipeline, request: ExportRequest
    ) -> Buckets:
        """Choose sizes and text lengths; every conditioning picture takes tokens of the text."""
        vision = vision_config(pipeline)
        side, multiple = round(settings.vae_image_area**0.5), 2 * pipeline.vae_scale_factor
        sizes = check_sizes(request.sizes, multiple)

        def picture_tokens(size: Size) -> int:
            rows, columns = condition_grid(size[1], size[0], settings.condition_image_area, vision)
            return rows * columns // vision.merge_size**2

        return buckets_for(
            side // multiple * multiple,
            max_pictures(checkpoint),
            sizes=sizes,
            pictures=request.pictures,
            batch=request.batch,
            picture_tokens=picture_tokens,
        )

    def config(
        self, pipeline: EditPipeline, settings: CheckpointSettings, version: str, shapes: ServedShapes
    ) -> Config:
        """Read the configuration off a pipeline.

        Raises:
            UnsupportedCheckpoint: A network of it needs what the contract lacks, or cannot be computed.
        """
        _check_parts(pipeline)
        return read_checkpoint_config(pipeline, settings, version, shapes)

    def shapes(self, config: Config, buckets: Buckets, pipeline: EditPipeline) -> QwenShapes:
        """Return the shapes of the networks."""
        return QwenShapes(config, buckets, pipeline.transformer.config.joint_attention_dim)

    def jobs(self, prepared: PreparedCheckpoint) -> Iterator[NetworkJob]:
        """Yield autoencoder, text encoder, judge and denoiser."""
        folder, cases = prepared.ingredients.source.folder, _cases(prepared)
        for spec, network in ((VAE_DECODER, VaeDecoderNetwork), (VAE_ENCODER, VaeEncoderNetwork)):
            yield pipeline_job(
                prepared,
                spec=spec,
                network=network,
                part="vae",
                # A small share of the work, and the last to touch the picture.
                precision=Precision.FP32,
                code=(CHECKPOINT_CODE,),
                load=lambda spec=spec, network=network: network(load_vae(folder), cases.vae(spec)),  # type: ignore[misc]
            )
        yield self._text_job(
            prepared, TEXT_ENCODER, TextEncoderNetwork, lambda: load_text_encoder(folder), cases.text_encoder()
        )
        if _config(prepared).own_judge:
            yield self._text_job(prepared, JUDGE, JudgeNetwork, lambda: load_judge(folder), cases.judge())
        yield self._denoiser_job(prepared, cases)

    def write_assets(self, folder: Path, prepared: PreparedCheckpoint) -> None:
        """Write the tokenizer."""
        write_tokenizer(folder, prepared.pipeline)

    def write_judge_assets(self, folder: Path, prepared: PreparedCheckpoint) -> None:
        """Write the rows for the answers of the language head of what answers."""
        write_judge_head(folder, prepared.ingredients.source.folder, prepared.pipeline.tokenizer)

    def _text_job(
        self,
        prepared: PreparedCheckpoint,
        spec: ModelSpec,
        network: type[TextEncoderNetwork],
        load: Callable[[], Qwen2_5_VLForConditionalGeneration],
        shapes: Sequence[TextShape],
    ) -> NetworkJob:
        """Return the job of a Qwen2.5-VL, whose part has the network's name."""
        vision = _config(prepared).vision
        return pipeline_job(
            prepared,
            spec=spec,
            network=network,
            part=spec.name,
            precision=prepared.precision,
            settings=(repr(vision),),
            code=(CHECKPOINT_CODE, "eacps.models.backbones.qwen_image_edit.vision_tables"),
            load=lambda: network(load(), vision, shapes),
        )

    def _denoiser_job(self, prepared: PreparedCheckpoint, cases: CaseShapes) -> NetworkJob:
        folder, lora = prepared.ingredients.source.folder, prepared.lora

        def load() -> Network:
            transformer = load_transformer(folder)
            if lora is not None:
                lora.fuse_into(transformer)
            return DenoiserNetwork(transformer, cases.denoiser())

        return pipeline_job(
            prepared,
            spec=DENOISER,
            network=DenoiserNetwork,
            part="transformer",
            precision=prepared.precision,
            case_tokens=cases.denoiser_tokens(),
            files=() if lora is None else (lora.file,),
            settings=(str(prepared.additions.get("lora")),),
            code=(CHECKPOINT_CODE, *LORA_CODE),
            load=load,
        )


def _check_parts(pipeline: EditPipeline) -> None:
    transformer, vae = pipeline.transformer.config, pipeline.vae.config
    statistics = (vae.latents_mean, vae.latents_std)
    wrong = {
        "the transformer has a guidance embedding": transformer.guidance_embeds,
        "the transformer has an additional time condition": transformer.use_additional_t_cond,
        "the transformer places pictures as layers": transformer.use_layer3d_rope,
        f"the transformer's axes_dims_rope do not add up to {transformer.attention_head_dim}": (
            sum(transformer.axes_dims_rope) != transformer.attention_head_dim
        ),
        f"the autoencoder's latents_mean and latents_std are not {vae.z_dim} numbers each": (
            [len(values) for values in statistics] != [vae.z_dim, vae.z_dim]
            or not all(math.isfinite(value) for values in statistics for value in values)
        ),
        "the autoencoder's latents_std are not above 0": not all(value > 0 for value in vae.latents_std),
    }
    if found := [what for what, is_so in wrong.items() if is_so]:
        raise UnsupportedCheckpoint("; ".join(found))


def _config(prepared: PreparedCheckpoint) -> Config:
    config = prepared.config
    if not isinstance(config, Config):
        raise TypeError(f"{config.backbone} is another backbone")
    return config


def _cases(prepared: PreparedCheckpoint) -> CaseShapes:
    shapes = prepared.shapes.backbone
    if not isinstance(shapes, QwenShapes):
        raise TypeError(f"{prepared.config.backbone} is another backbone")
    return CaseShapes(shapes, fixed=prepared.target.fixed_shapes)


EXPORTER = QwenExporter()
