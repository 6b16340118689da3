"""Checkpoints whose files are not what they say: refused by name before anything is computed, in every part."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5_VLForConditionalGeneration

from eacps.models.checkpoint_config import UnsupportedCheckpoint
from export.backbones.qwen_image_edit.checkpoint import (
    load_judge,
    load_text_encoder,
    load_transformer,
    load_vae,
)
from export.inspection import inspect
from export.prepared import prepare
from export.request import ExportRequest, gather
from export.weight_files import UnusableWeights
from tests.export.commands import run_export

LOADERS = {
    "transformer": load_transformer,
    "vae": load_vae,
    "text_encoder": load_text_encoder,
    "judge": load_judge,
}
STEMS = {
    "transformer": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "judge": "model",
}
# A tensor of each part.
TENSORS = {
    "transformer": "transformer_blocks.1.attn.to_k.weight",
    "vae": "decoder.conv_in.weight",
    "text_encoder": "model.layers.1.mlp.up_proj.weight",
    "judge": "model.layers.1.mlp.up_proj.weight",
}
PARTS = tuple(TENSORS)
WITH_HEAD = ("text_encoder", "judge")
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def checkpoint(checkpoint_dir: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint_dir, folder)
    if not (folder / "judge").exists():
        shutil.copytree(folder / "text_encoder", folder / "judge")
    return folder


def weights_of(folder: Path, part: str) -> Path:
    return folder / part / f"{STEMS[part]}.safetensors"


def change(folder: Path, part: str, how: Callable[[Tensors], Any]) -> None:
    file = weights_of(folder, part)
    tensors = load_file(file)
    how(tensors)
    save_file(tensors, file, {"format": "pt"})


def configure(folder: Path, part: str, **settings: Any) -> None:
    file = folder / part / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def inspected(folder: Path) -> None:
    inspect(prepare(gather(ExportRequest(str(folder)), weights=False)), folder.parent / "output")


def refused(folder: Path, message: str) -> None:
    with pytest.raises(UnusableWeights, match=message):
        inspected(folder)


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_tensor_is_refused(checkpoint: Path, part: str) -> None:
    name = TENSORS[part]
    change(checkpoint, part, lambda tensors: tensors.pop(name))
    stored = name.replace("model.", "model.language_model.") if part in ("text_encoder", "judge") else name
    refused(checkpoint, rf"does not hold the {part} that it describes: missing: {stored}$")
    with pytest.raises(UnusableWeights, match=stored):
        LOADERS[part](checkpoint)


@pytest.mark.parametrize("part", PARTS)
def test_an_unexpected_tensor_is_refused(checkpoint: Path, part: str) -> None:
    change(checkpoint, part, lambda tensors: tensors.update({"extra.weight": torch.zeros(2)}))
    refused(checkpoint, rf"does not hold the {part} that it describes: unexpected: extra\.weight$")
    with pytest.raises(UnusableWeights, match=r"extra\.weight"):
        LOADERS[part](checkpoint)


@pytest.mark.parametrize("part", PARTS)
def test_a_tensor_of_another_shape_is_refused(checkpoint: Path, part: str) -> None:
    change(checkpoint, part, lambda tensors: tensors.update({TENSORS[part]: torch.zeros(3, 5)}))
    refused(checkpoint, rf"of another shape: .*{TENSORS[part].split('.', 2)[-1]} \[3, 5\] instead of \[")
    with pytest.raises(UnusableWeights, match="cannot be loaded"):
        LOADERS[part](checkpoint)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", PARTS)
def test_a_weight_that_is_no_number_is_refused(checkpoint: Path, part: str, bad: float) -> None:
    def spoil(tensors: Tensors) -> None:
        tensors[TENSORS[part]].view(-1)[-1] = bad

    change(checkpoint, part, spoil)
    refused(checkpoint, rf"{part} holds NaN or infinity in {TENSORS[part]}")


def test_large_weights_are_numbers(checkpoint: Path) -> None:
    change(checkpoint, "vae", lambda tensors: tensors[TENSORS["vae"]].fill_(3e38))
    inspected(checkpoint)


@pytest.mark.parametrize("with_scale", [False, True])
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.int8, torch.uint8])
@pytest.mark.parametrize("part", PARTS)
def test_quantized_tensors_are_refused(checkpoint: Path, part: str, dtype: torch.dtype, with_scale: bool) -> None:
    def quantize(tensors: Tensors) -> None:
        name = TENSORS[part]
        scale = tensors[name].abs().max() / 100
        tensors[name] = (tensors[name] / scale).to(dtype)
        if with_scale:
            tensors[f"{name}_scale"] = scale.reshape(1)

    change(checkpoint, part, quantize)
    refused(checkpoint, rf"the {part} is quantized, which is not supported: {TENSORS[part]} \(\w+\)$")


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "bitsandbytes"),
        ({"quantization_config": {"quant_method": "torchao", "quant_type": "int8wo"}}, "torchao"),
        ({"quantization_config": {"quant_method": "fp8"}}, "fp8"),
        ({"quantization_config": {"method": "svdquant", "weight": {"dtype": "int4"}}}, "svdquant"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
    ],
)
@pytest.mark.parametrize("part", PARTS)
def test_a_configuration_that_quantizes_is_refused(
    checkpoint: Path, part: str, settings: dict[str, Any], method: str
) -> None:
    configure(checkpoint, part, **settings)
    refused(checkpoint, rf"{part}/config\.json: the {part} is quantized \(.*{method}.*\), which is not supported")


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        ("transformer", {"_class_name": "FluxTransformer2DModel"}, "is of FluxTransformer2DModel; served is Qwen"),
        ("vae", {"_class_name": "AutoencoderKL"}, "is of AutoencoderKL; served is AutoencoderKLQwenImage"),
        ("text_encoder", {"model_type": "qwen3_vl"}, "is of qwen3_vl; served is qwen2_5_vl"),
        ("judge", {"model_type": "qwen3_vl"}, "is of qwen3_vl; served is qwen2_5_vl"),
    ],
)
def test_a_part_of_another_class_is_refused(
    checkpoint: Path, part: str, settings: dict[str, Any], message: str
) -> None:
    configure(checkpoint, part, **settings)
    refused(checkpoint, rf"{part}/config\.json {message}")


@pytest.mark.parametrize("part", ["transformer", "vae"])
def test_a_setting_that_diffusers_would_ignore_is_refused(checkpoint: Path, part: str) -> None:
    configure(checkpoint, part, use_something_new=True)
    refused(checkpoint, rf"{part}/config\.json has settings .* would ignore: \{{'use_something_new': True\}}")


def test_settings_that_decide_nothing_are_taken(checkpoint: Path) -> None:
    """As in published checkpoints, and in those that a later release saves."""
    configure(checkpoint, "transformer", pooled_projection_dim=768, use_something_new=False, _name_or_path="here")
    configure(checkpoint, "vae", force_upcast=True, something_else=None)
    inspected(checkpoint)


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        ("transformer", {"guidance_embeds": True}, "has a guidance embedding"),
        ("transformer", {"use_layer3d_rope": True}, "places pictures as layers"),
        ("transformer", {"axes_dims_rope": [8, 8, 8]}, "axes_dims_rope do not add up to 32"),
        ("vae", {"latents_mean": [0.0]}, "are not .* numbers each"),
        ("vae", {"latents_std": [float("nan")] * 16}, "are not .* numbers each"),
        ("vae", {"latents_std": [0.0] * 16}, "latents_std are not above 0"),
    ],
    ids=str,
)
def test_what_the_contract_lacks_is_refused_before_anything_is_computed(
    checkpoint: Path, part: str, settings: dict[str, Any], message: str
) -> None:
    configure(checkpoint, part, **settings)
    with pytest.raises(UnsupportedCheckpoint, match=message):
        inspected(checkpoint)


@pytest.mark.parametrize("part", WITH_HEAD)
def test_an_adapter_beside_the_weights_is_refused(checkpoint: Path, part: str) -> None:
    """Transformers would load it, too."""
    (checkpoint / part / "adapter_config.json").write_text("{}")
    refused(checkpoint, rf"{part} holds an adapter \(adapter_config\.json\)")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("qwen-image-edit-Q4_K_M.gguf", "is GGUF, which is quantized, which is not supported"),
        ("pytorch_model.bin", "is a pickle, which is not supported"),
        ("weights.safetensors", r"has no model\.safetensors and no index of shards; it has weights\.safetensors"),
        (None, r"has no model\.safetensors and no index of shards$"),
    ],
)
def test_weights_of_another_format_or_name_are_refused(checkpoint: Path, name: str | None, message: str) -> None:
    file = weights_of(checkpoint, "text_encoder")
    file.rename(file.with_name(name)) if name else file.unlink()
    refused(checkpoint, message)


def test_a_file_that_is_cut_short_is_refused(checkpoint: Path) -> None:
    file = weights_of(checkpoint, "vae")
    file.write_bytes(file.read_bytes()[:-10])
    refused(checkpoint, r"diffusion_pytorch_model\.safetensors cannot be read")


def in_shards(folder: Path, part: str) -> Path:
    """Save a part in shards, as its library does; return the index."""
    LOADERS[part](folder).save_pretrained(folder / part, max_shard_size="1MB")
    weights_of(folder, part).unlink()
    return folder / part / f"{STEMS[part]}.safetensors.index.json"


@pytest.mark.parametrize("part", PARTS)
def test_shards_are_taken(checkpoint: Path, checkpoint_dir: Path, part: str) -> None:
    index = in_shards(checkpoint, part)
    assert len(list(index.parent.glob("*.safetensors"))) > 1
    inspected(checkpoint)
    assert_equal(LOADERS[part](checkpoint), LOADERS[part](checkpoint_dir))


@pytest.mark.parametrize("part", PARTS)
def test_shards_that_contradict_their_index_are_refused(checkpoint: Path, part: str) -> None:
    """Diffusers takes what the index lists for loaded."""
    index = in_shards(checkpoint, part)
    listing = json.loads(index.read_text())
    name, shard = next(iter(listing["weight_map"].items()))
    whole = load_file(index.parent / shard)
    save_file({key: tensor for key, tensor in whole.items() if key != name}, index.parent / shard)
    refused(checkpoint, rf"{shard} does not hold what {index.name} says: {name}$")
    save_file(whole | {"unlisted": torch.zeros(1)}, index.parent / shard)
    refused(checkpoint, rf"{shard} does not hold what {index.name} says: unlisted$")
    (index.parent / shard).unlink()
    refused(checkpoint, rf"{part} lacks {shard}, which {index.name} names")


def test_an_index_that_cannot_be_read_is_refused(checkpoint: Path) -> None:
    index = in_shards(checkpoint, "transformer")
    index.write_text("{}")
    refused(checkpoint, rf"{index.name} cannot be read")


def test_shards_beside_a_whole_file_are_refused(checkpoint: Path) -> None:
    """Diffusers would load the shards and transformers the file."""
    whole = weights_of(checkpoint, "text_encoder")
    kept = whole.read_bytes()
    in_shards(checkpoint, "text_encoder")
    whole.write_bytes(kept)
    refused(checkpoint, r"holds both model\.safetensors and model\.safetensors\.index\.json")


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("part", PARTS)
def test_the_only_variant_is_taken(checkpoint: Path, part: str, sharded: bool) -> None:
    module = LOADERS[part](checkpoint).half()
    weights_of(checkpoint, part).unlink()
    module.save_pretrained(checkpoint / part, variant="fp16", max_shard_size="1MB" if sharded else "1GB")
    assert not weights_of(checkpoint, part).exists()
    inspected(checkpoint)
    assert_equal(LOADERS[part](checkpoint), module.float())


def test_a_variant_beside_the_plain_weights_is_not_read(checkpoint: Path, checkpoint_dir: Path) -> None:
    """`model.fp16.safetensors` comes first by name."""
    file = weights_of(checkpoint, "text_encoder")
    save_file({"lm_head.weight": torch.zeros(2, 2)}, file.with_name("model.fp16.safetensors"))
    inspected(checkpoint)
    assert_equal(load_text_encoder(checkpoint), load_text_encoder(checkpoint_dir))


def test_several_variants_without_a_plain_file_are_refused(checkpoint: Path) -> None:
    file = weights_of(checkpoint, "vae")
    for variant in ("fp16", "bf16"):
        shutil.copy(file, file.with_name(f"{STEMS['vae']}.{variant}.safetensors"))
    file.unlink()
    refused(checkpoint, r"vae holds several variants \(bf16, fp16\)")


@pytest.mark.parametrize("part", WITH_HEAD)
def test_a_tied_language_head_need_not_be_in_the_files(checkpoint: Path, part: str) -> None:
    configure(checkpoint, part, tie_word_embeddings=True)
    change(checkpoint, part, lambda tensors: tensors.pop("lm_head.weight"))
    inspected(checkpoint)
    loaded = LOADERS[part](checkpoint)
    assert loaded.lm_head.weight is loaded.model.language_model.embed_tokens.weight


@pytest.mark.parametrize("part", WITH_HEAD)
def test_a_language_head_that_is_not_tied_must_be_in_the_files(checkpoint: Path, part: str) -> None:
    change(checkpoint, part, lambda tensors: tensors.pop("lm_head.weight"))
    refused(checkpoint, r"missing: lm_head\.weight")


@pytest.mark.parametrize("part", WITH_HEAD)
def test_a_tied_language_head_that_differs_from_the_embeddings_is_refused(checkpoint: Path, part: str) -> None:
    configure(checkpoint, part, tie_word_embeddings=True)
    tied = rf"{part}: its configuration ties lm_head\.weight and model\.embed_tokens\.weight"
    refused(checkpoint, rf"{tied}, and its files hold two different")


def test_both_namings_of_the_text_encoder_are_read(checkpoint: Path, checkpoint_dir: Path) -> None:
    def rename(tensors: Tensors) -> None:
        for name in list(tensors):
            newer = name.replace("model.", "model.language_model.").replace("visual.", "model.visual.")
            tensors[newer] = tensors.pop(name)

    change(checkpoint, "text_encoder", rename)
    inspected(checkpoint)
    assert_equal(load_text_encoder(checkpoint), load_text_encoder(checkpoint_dir))


@pytest.mark.parametrize("option", [(), ("--dry-run",)])
def test_the_command_refuses_before_anything_is_written(
    checkpoint: Path, tmp_path: Path, option: tuple[str, ...]
) -> None:
    change(checkpoint, "transformer", lambda tensors: tensors.pop(TENSORS["transformer"]))
    done = run_export(checkpoint, tmp_path / "output" / "repository", *option)
    assert done.returncode == 1
    assert f"export failed: {checkpoint}/transformer does not hold" in done.stderr
    assert f"missing: {TENSORS['transformer']}" in done.stderr
    assert not (tmp_path / "output").exists()


def assert_equal(got: torch.nn.Module, expected: torch.nn.Module) -> None:
    found, wanted = got.state_dict(), expected.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    assert isinstance(got, Qwen2_5_VLForConditionalGeneration) or not any(one.is_meta for one in got.parameters())
