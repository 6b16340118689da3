"""LoRA files: each is fused as diffusers and PEFT fuse it, or refused by name."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import QwenImageTransformer2DModel
from safetensors.torch import load_file, save_file

from export.backbones.qwen_image_edit.checkpoint import load_transformer
from export.backbones.qwen_image_edit.denoiser import DenoiserNetwork
from export.backbones.qwen_image_edit.exporter import QwenExporter
from export.lora import Lora
from export.lora_file import UnusableLora
from export.parity import relative_error
from export.precision import Precision
from studio_mini.architecture import build_transformer
from tests.export.lora_files import (
    MODULES,
    TOP_LEVEL,
    Tensors,
    fused_by_diffusers,
    pairs,
    parameters,
    save_as_diffusers,
    save_named,
)

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
LAYER = "transformer_blocks.0.attn.to_q"
OTHER = "transformer_blocks.1.attn.to_q"


@pytest.fixture(scope="module")
def denoiser() -> QwenImageTransformer2DModel:
    return build_transformer(layers=2)


def lora(file: Path, scale: float = 1.0) -> Lora:
    return Lora(file, scale, QwenExporter.lora_loader)


def fused(denoiser: QwenImageTransformer2DModel, file: Path, scale: float = 1.0) -> Tensors:
    """Check and fuse as the export does; return the parameters."""
    with torch.device("meta"):
        skeleton = QwenImageTransformer2DModel.from_config(denoiser.config)
    before = list(skeleton.state_dict())
    lora(file, scale).check(skeleton)
    assert list(skeleton.state_dict()) == before
    own = copy.deepcopy(denoiser)
    lora(file, scale).fuse_into(own)
    return parameters(own)


def assert_same(got: Tensors, expected: Tensors, plain: Tensors, *, changed: int) -> None:
    assert got.keys() == expected.keys() == plain.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(
            got[name], weight, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )
    assert sum(not torch.equal(got[name], plain[name]) for name in got) == changed


SETTINGS: dict[str, dict[str, Any]] = {
    "alpha": {"r": 4, "lora_alpha": 16},
    "alpha below rank": {"r": 8, "lora_alpha": 1},
    "rslora": {"r": 4, "lora_alpha": 16, "use_rslora": True},
    "rank pattern": {
        "r": 4,
        "lora_alpha": 4,
        "rank_pattern": {"attn.to_q": 2, "transformer_blocks.1.img_mlp.net.2": 8},
    },
    "alpha pattern": {"r": 4, "lora_alpha": 8, "alpha_pattern": {"attn.to_out.0": 1, "txt_mod.1": 32}},
    "both patterns with rslora": {
        "r": 4,
        "lora_alpha": 8,
        "rank_pattern": {"attn.add_q_proj": 16},
        "alpha_pattern": {"attn.add_q_proj": 3, "attn.to_q": 5},
        "use_rslora": True,
    },
    "dora": {"r": 4, "lora_alpha": 16, "use_dora": True},
    "dora with rslora": {"r": 4, "lora_alpha": 16, "use_dora": True, "use_rslora": True},
    "bias": {"r": 4, "lora_alpha": 16, "lora_bias": True},
}


# PEFT takes the biases of lora_bias for shards of weights when it saves them.
@pytest.mark.filterwarnings("ignore:.*LoRA tensor.*have invalid shape")
@pytest.mark.parametrize("scale", [1.0, 0.5, -0.7])
@pytest.mark.parametrize("kind", SETTINGS)
def test_what_diffusers_saved_is_fused_as_diffusers_fuses_it(
    denoiser: QwenImageTransformer2DModel, tmp_path: Path, kind: str, scale: float
) -> None:
    settings = SETTINGS[kind]
    file = save_as_diffusers(tmp_path, denoiser, target_modules=list(MODULES), **settings)
    changed = len(MODULES) * (2 if settings.get("lora_bias") else 1)
    assert_same(
        fused(denoiser, file, scale), fused_by_diffusers(denoiser, file, scale), parameters(denoiser), changed=changed
    )


NAMINGS = {
    "lightning": ("{dotted}", ".lora_down.weight", ".lora_up.weight", ".alpha"),
    "lightning without alpha": ("transformer.{dotted}", ".lora_A.weight", ".lora_B.weight", None),
    "comfy": ("diffusion_model.{dotted}", ".lora_A.weight", ".lora_B.weight", ".alpha"),
    "comfy with down and up": ("diffusion_model.{dotted}", ".lora_down.weight", ".lora_up.weight", ".alpha"),
    "comfy without alpha": ("diffusion_model.{dotted}", ".lora_A.weight", ".lora_B.weight", None),
    "kohya": ("lora_unet_{flat}", ".lora_down.weight", ".lora_up.weight", ".alpha"),
    "an adapter's name": ("{dotted}", ".lora_A.default.weight", ".lora_B.default.weight", None),
    "older": ("transformer.{dotted}", ".lora.down.weight", ".lora.up.weight", None),
}


@pytest.mark.parametrize("naming", NAMINGS)
def test_every_naming_that_diffusers_reads_is_fused_as_it_does(
    denoiser: QwenImageTransformer2DModel, tmp_path: Path, naming: str
) -> None:
    modules = (*MODULES, *TOP_LEVEL)
    file = save_named(tmp_path / "lora.safetensors", pairs(denoiser, modules), *NAMINGS[naming])
    got, expected = fused(denoiser, file, 0.5), fused_by_diffusers(denoiser, file, 0.5)
    assert_same(got, expected, parameters(denoiser), changed=len(modules))


def test_the_oldest_naming_is_fused_as_diffusers_does(denoiser: QwenImageTransformer2DModel, tmp_path: Path) -> None:
    drawn = pairs(denoiser, tuple(f"transformer_blocks.{block}.attn.to_{part}" for block in range(2) for part in "qkv"))
    state = {}
    for module, (down, up) in drawn.items():
        key = "transformer." + module.replace(".attn.", ".attn.processor.") + "_lora"
        state |= {f"{key}.down.weight": down, f"{key}.up.weight": up}
    save_file(state, tmp_path / "lora.safetensors")
    file = tmp_path / "lora.safetensors"
    assert_same(fused(denoiser, file), fused_by_diffusers(denoiser, file), parameters(denoiser), changed=len(drawn))


# Namings that diffusers passes over or stumbles on, though their authors and it agree on what they mean.
EQUAL_NAMINGS = {
    "no part": ("{dotted}", ".lora_A.weight", ".lora_B.weight", None),
    "no part, with alpha": ("{dotted}", ".lora_A.weight", ".lora_B.weight", ".alpha"),
    "part and alpha": ("transformer.{dotted}", ".lora_A.weight", ".lora_B.weight", ".alpha"),
    "older with alpha": ("transformer.{dotted}", ".lora.down.weight", ".lora.up.weight", ".alpha"),
    "lycoris": ("lycoris_{flat}", ".lora_down.weight", ".lora_up.weight", ".alpha"),
    "onetrainer": ("lora_transformer_{flat}", ".lora_down.weight", ".lora_up.weight", ".alpha"),
    "a whole checkpoint's prefix": ("model.diffusion_model.{dotted}", ".lora_down.weight", ".lora_up.weight", ".alpha"),
}


@pytest.mark.parametrize("naming", EQUAL_NAMINGS)
def test_equal_weights_under_other_names_are_fused_alike(
    denoiser: QwenImageTransformer2DModel, tmp_path: Path, naming: str
) -> None:
    drawn, names = pairs(denoiser), EQUAL_NAMINGS[naming]
    (tmp_path / "known").mkdir()
    known = save_named(
        tmp_path / "known" / "lora.safetensors", drawn, *NAMINGS["lightning" if names[3] else "lightning without alpha"]
    )
    file = save_named(tmp_path / "lora.safetensors", drawn, *names)
    expected = fused_by_diffusers(denoiser, known)
    assert_same(fused(denoiser, file), expected, parameters(denoiser), changed=len(MODULES))


@pytest.mark.filterwarnings("ignore:You have passed exclude_modules")  # in diffusers' own way
@pytest.mark.parametrize("excluded", [[f"{OTHER}"], r".*\.1\.attn\.to_q"], ids=["names", "expression"])
def test_modules_that_were_excluded_from_training_are_left_alone(
    denoiser: QwenImageTransformer2DModel, tmp_path: Path, excluded: list[str] | str
) -> None:
    """PEFT warns of every such file that nothing was excluded."""
    settings = {"r": 4, "lora_alpha": 16, "target_modules": ["to_q", "to_k"], "exclude_modules": excluded}
    file, plain = save_as_diffusers(tmp_path, denoiser, **settings), parameters(denoiser)
    got = fused(denoiser, file)
    assert_same(got, fused_by_diffusers(denoiser, file), plain, changed=3)
    assert torch.equal(got[f"{OTHER}.weight"], plain[f"{OTHER}.weight"])


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_an_integer_alpha_is_applied(denoiser: QwenImageTransformer2DModel, tmp_path: Path, dtype: torch.dtype) -> None:
    file = save_named(tmp_path / "lora.safetensors", pairs(denoiser), *NAMINGS["lightning"])
    save_file({name: one.to(dtype) if name.endswith("alpha") else one for name, one in load_file(file).items()}, file)
    expected = fused_by_diffusers(denoiser, file)
    assert_same(fused(denoiser, file), expected, parameters(denoiser), changed=len(MODULES))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_other_float_types_are_fused(
    denoiser: QwenImageTransformer2DModel, tmp_path: Path, dtype: torch.dtype
) -> None:
    drawn = pairs(denoiser)
    file = save_named(tmp_path / "lora.safetensors", drawn, *NAMINGS["lightning"], dtype=dtype)
    got, plain = fused(denoiser, file), parameters(denoiser)
    for index, (module, (down, up)) in enumerate(drawn.items()):
        delta = up.to(dtype).double() @ down.to(dtype).double() * ((1.0 + index) / len(down))
        torch.testing.assert_close(
            got[f"{module}.weight"].double(), plain[f"{module}.weight"].double() + delta, rtol=1e-5, atol=1e-6
        )


def test_dora_in_kohyas_naming_follows_the_formula(denoiser: QwenImageTransformer2DModel, tmp_path: Path) -> None:
    """W' = m (W + s B A) / ||W + s B A||, norms over inputs (DoRA, arXiv 2402.09353, eq. 5)."""
    drawn, plain = pairs(denoiser), parameters(denoiser)
    file = save_named(tmp_path / "lora.safetensors", drawn, *NAMINGS["kohya"])
    state = load_file(file)
    expected = dict(plain)
    for index, (module, (down, up)) in enumerate(drawn.items()):
        magnitude = plain[f"{module}.weight"].norm(dim=1, keepdim=True) * 1.3
        state[f"lora_unet_{module.replace('.', '_')}.dora_scale"] = magnitude
        moved = plain[f"{module}.weight"] + up @ down * ((1.0 + index) / len(down))
        expected[f"{module}.weight"] = magnitude * moved / moved.norm(dim=1, keepdim=True)
    save_file(state, file)
    assert_same(fused(denoiser, file), expected, plain, changed=len(MODULES))
    with pytest.raises(UnusableLora, match="dora_scale, for which a scale other than 1"):
        fused(denoiser, file, 0.5)


def test_what_is_exported_answers_as_the_fused_transformer(tmp_path: Path) -> None:
    plain, changed = build_transformer(layers=2), build_transformer(layers=2)
    save_named(tmp_path / "lora.safetensors", pairs(changed), *NAMINGS["lightning"])
    lora(tmp_path / "lora.safetensors", 0.5).fuse_into(changed)
    case = next(DenoiserNetwork(changed).cases())
    answers = [DenoiserNetwork(one).runner(Precision.FP32)(case.inputs)["velocity"] for one in (changed, plain)]
    assert relative_error(answers[0], case.expected["velocity"]) < 1e-5
    assert relative_error(answers[1], case.expected["velocity"]) > 1e-2


Change = Callable[[Tensors], Any]


def put(key: str, *shape: int, like: float = 1.0, dtype: torch.dtype = torch.float32) -> Change:
    return lambda state: state.update({key: torch.full(shape, like).to(dtype)})


def drop(key: str) -> Change:
    return lambda state: state.pop(key)


# Each departs from a sound file in kohya's dotted naming, rank 4 for both layers.
BROKEN: dict[str, tuple[Change, str]] = {
    "half a pair": (drop(f"{OTHER}.lora_up.weight"), rf"is incomplete: {OTHER} has no lora_B\.weight"),
    "the other half": (drop(f"{LAYER}.lora_down.weight"), rf"is incomplete: {LAYER} has no lora_A\.weight"),
    "alpha alone": (put("proj_out.alpha"), r"is incomplete: proj_out has no lora_A\.weight and no lora_B\.weight"),
    "alpha is NaN": (put(f"{LAYER}.alpha", like=float("nan")), rf"NaN or infinity in {LAYER}\.alpha"),
    "alpha is infinite": (put(f"{LAYER}.alpha", like=float("inf")), rf"NaN or infinity in {LAYER}\.alpha"),
    "alpha is zero": (put(f"{LAYER}.alpha", like=0.0), rf"has alpha 0 for {LAYER}"),
    "alpha is negative": (put(f"{LAYER}.alpha", like=-4.0), rf"has alpha -4 for {LAYER}"),
    "many alphas": (put(f"{LAYER}.alpha", 4), rf"does not fit: {LAYER}\.alpha has shape \[4\]"),
    "a weight is NaN": (put(f"{LAYER}.lora_up.weight", 128, 4, like=float("nan")), rf"NaN .* in {LAYER}\.lora_up"),
    "a weight is infinite": (put(f"{OTHER}.lora_down.weight", 4, 128, like=float("inf")), rf"in {OTHER}\.lora_down"),
    "other inputs": (put(f"{LAYER}.lora_down.weight", 4, 64), rf"does not fit: {LAYER}\.lora_A\.weight .* \[4, 64\]"),
    "other outputs": (put(f"{LAYER}.lora_up.weight", 64, 4), rf"does not fit: {LAYER}\.lora_B\.weight .* \[64, 4\]"),
    "other rank": (put(f"{LAYER}.lora_up.weight", 128, 2), rf"does not fit: {LAYER}\.lora_B\.weight .* \[128, 2\]"),
    "a convolution": (put(f"{LAYER}.lora_down.weight", 4, 128, 1, 1), rf"does not fit: {LAYER}\.lora_A\.weight"),
    "a misspelt layer": (put("transformer_blocks.0.attn.to_qq.lora_up.weight", 128, 4), r"1 weights .*to_qq"),
    "a layer too many": (put("transformer_blocks.2.attn.to_q.lora_up.weight", 128, 4), r"1 weights .*blocks\.2"),
    "a norm": (put("transformer_blocks.0.attn.norm_q.lora_up.weight", 32, 4), r"1 weights .*norm_q"),
    "a full weight": (put("proj_out.diff", 16, 128), r"1 weights .*proj_out\.diff"),
    "a full bias": (put("proj_out.diff_b", 16), r"1 weights .*proj_out\.diff_b"),
    "a text encoder": (put("text_encoder.layers.0.q_proj.lora_A.weight", 4, 8), "text encoder, which are not fused"),
    "kohya's text encoder": (put("lora_te1_layers_0_q_proj.lora_down.weight", 4, 8), "text encoder, .* lora_te1_"),
    "LoKr": (put(f"{LAYER}.lokr_w1", 4, 4), rf"holds LoKr, which is not supported: {LAYER}\.lokr_w1"),
    "LoHa": (put(f"{LAYER}.hada_w1_a", 128, 4), rf"holds LoHa, which is not supported: {LAYER}\.hada_w1_a"),
    "LoCon": (put(f"{LAYER}.lora_mid.weight", 4, 4, 1, 1), "holds LoCon's lora_mid"),
    "half a DoRA": (put(f"{LAYER}.dora_scale", 128, 1), rf"DoRA magnitudes are missing for {OTHER}"),
    "a DoRA of inputs": (
        put(f"{LAYER}.dora_scale", 1, 128),
        rf"does not fit: {LAYER}\.dora_scale has shape \[1, 128\]",
    ),
    "two names for one layer": (put(f"diffusion_model.{LAYER}.lora_B.weight", 128, 4), "one module under two names"),
    "quantized": (put(f"{LAYER}.lora_up.weight", 128, 4, dtype=torch.float8_e4m3fn), r"is quantized.*float8_e4m3fn"),
    "integers": (put(f"{LAYER}.lora_up.weight", 128, 4, dtype=torch.int8), r"is quantized.*to_q\.lora_up\.weight"),
    "PEFT's layout": (put(f"base_model.model.{LAYER}.lora_A.weight", 4, 128), r"adapter_config\.json"),
    "nothing of a LoRA": (put("state", 2), "1 weights that are not of this denoiser: state"),
    "no effect": (
        lambda state: [tensor.zero_() for name, tensor in state.items() if "lora_up" in name],
        "changes nothing: of every pair lora_A or lora_B is zero",
    ),
    "no effect from the other side": (
        lambda state: [tensor.zero_() for name, tensor in state.items() if "lora_down" in name],
        "changes nothing: of every pair lora_A or lora_B is zero",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_would_not_be_applied_is_refused_by_name(
    denoiser: QwenImageTransformer2DModel, tmp_path: Path, kind: str
) -> None:
    change, message = BROKEN[kind]
    file = save_named(
        tmp_path / "my lora.safetensors", pairs(denoiser, (LAYER, OTHER), ranks=(4,)), *NAMINGS["lightning"]
    )
    state = load_file(file)
    change(state)
    save_file(state, file)
    plain, own = parameters(denoiser), copy.deepcopy(denoiser)
    for refusing in (lora(file).check, lora(file).fuse_into):
        with pytest.raises(UnusableLora, match=rf"my lora\.safetensors .*{message}"):
            refusing(own)
    assert all(torch.equal(weight, plain[name]) for name, weight in own.named_parameters())


HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "rank of another file": ({"r": 8}, "size mismatch for .*lora_A"),
    "no rank": ({"r": None}, "has r=None"),
    "alpha is NaN": ({"lora_alpha": float("nan")}, "has lora_alpha=nan"),
    "alpha is zero": ({"lora_alpha": 0}, "has lora_alpha=0"),
    "alpha is text": ({"lora_alpha": "16"}, "has lora_alpha='16'"),
    "a pattern is infinite": ({"alpha_pattern": {"to_q": float("inf")}}, r"has alpha_pattern\[to_q\]=inf"),
    "a pattern is a list": ({"rank_pattern": [4]}, r"has rank_pattern=\[4\]"),
    "a layer is missing": ({"target_modules": [LAYER, OTHER, "proj_out"]}, "additional target modules: .*proj_out"),
    "a layer is not named": ({"target_modules": [LAYER]}, f"additional target modules: .*{OTHER}"),
    "magnitudes are missing": ({"use_dora": True}, "is incomplete: it has no .*lora_magnitude_vector"),
    "biases are missing": ({"lora_bias": True}, r"is incomplete: it has no .*lora_B\.bias"),
    "LoKr": ({"peft_type": "LOKR"}, "says it is LOKR"),
    "PiSSA": ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
    "layers to save whole": ({"modules_to_save": ["proj_out"]}, "asks for .*modules_to_save"),
    "biases of the base": ({"bias": "all"}, "asks for .*bias"),
    "layers many times": ({"layer_replication": [[0, 1]]}, "asks for .*layer_replication"),
    "a switch is text": ({"use_rslora": "false"}, "has use_rslora='false', which is neither true nor false"),
    # PEFT takes the first, and diffusers has sorted them: which was first in training is lost.
    "two alphas for a layer": (
        {"alpha_pattern": {"to_q": 1, "attn.to_q": 2}},
        f"several values in alpha_pattern for {LAYER}",
    ),
    "a pattern is no expression": ({"alpha_pattern": {"*": 1}}, "alpha_pattern that is no regular expression"),
    "layers are no expression": ({"target_modules": "("}, "cannot be fused: missing"),
    "layers are a number": ({"target_modules": [5]}, "cannot be fused: .*split"),
    "alpha beyond FP32": ({"lora_alpha": 1e308}, f"makes weights infinite or NaN: {LAYER}"),
    "something of the future": ({"use_quantum": True}, "asks for .*use_quantum"),
}


def with_header(file: Path, settings: dict[str, Any]) -> None:
    whole = {"r": 4, "lora_alpha": 16, "target_modules": [LAYER, OTHER]} | settings
    text = json.dumps({f"transformer.{name}": value for name, value in whole.items()})
    save_file(load_file(file), file, {"lora_adapter_metadata": text})


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_that_cannot_be_followed_is_refused(
    denoiser: QwenImageTransformer2DModel, tmp_path: Path, kind: str
) -> None:
    settings, message = HEADERS[kind]
    file = save_named(
        tmp_path / "lora.safetensors", pairs(denoiser, (LAYER, OTHER), ranks=(4,)), *NAMINGS["lightning without alpha"]
    )
    with_header(file, settings)
    with torch.device("meta"):
        skeleton = QwenImageTransformer2DModel.from_config(denoiser.config)
    with pytest.raises(UnusableLora, match=f"(?s){message}"):
        lora(file).check(skeleton)
    with pytest.raises(UnusableLora, match=f"(?s){message}"):
        lora(file).fuse_into(copy.deepcopy(denoiser))


def test_a_scale_that_is_stated_twice_is_refused(denoiser: QwenImageTransformer2DModel, tmp_path: Path) -> None:
    """Diffusers would apply both."""
    file = save_named(tmp_path / "lora.safetensors", pairs(denoiser, (LAYER, OTHER)), *NAMINGS["lightning"])
    with_header(file, {})
    with pytest.raises(UnusableLora, match="states its scale twice"):
        lora(file).check(denoiser)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no settings"),
        (json.dumps({"text_encoder.r": 4}), "settings of another part than the denoiser"),
    ],
)
def test_a_header_of_another_form_is_refused(
    denoiser: QwenImageTransformer2DModel, tmp_path: Path, header: str, message: str
) -> None:
    file = save_named(tmp_path / "lora.safetensors", pairs(denoiser), *NAMINGS["lightning without alpha"])
    save_file(load_file(file), file, {"lora_adapter_metadata": header})
    with pytest.raises(UnusableLora, match=message):
        lora(file).check(denoiser)


@pytest.mark.parametrize("content", [b"", b"no safetensors at all", b"\x10\x00\x00\x00\x00\x00\x00\x00{"])
def test_a_file_that_is_no_safetensors_is_refused(
    denoiser: QwenImageTransformer2DModel, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "lora.safetensors").write_bytes(content)
    with pytest.raises(UnusableLora, match=r"lora\.safetensors cannot be read"):
        lora(tmp_path / "lora.safetensors").check(denoiser)


def test_weights_that_overflow_are_refused(denoiser: QwenImageTransformer2DModel, tmp_path: Path) -> None:
    down, up = torch.full((2, 128), 1e30), torch.full((128, 2), 1e30)
    file = save_named(tmp_path / "lora.safetensors", {LAYER: (down, up)}, *NAMINGS["lightning"])
    for refusing in (lora(file).check, lora(file).fuse_into):
        with pytest.raises(UnusableLora, match=f"makes weights infinite or NaN: {LAYER}"):
            refusing(copy.deepcopy(denoiser))


@pytest.mark.skipif(not CASES.is_dir(), reason=f"the example files are not at {CASES}")
def test_an_example_file_changes_the_weights_as_expected(checkpoint_dir: Path) -> None:
    plain = load_transformer(checkpoint_dir)
    before, expected = parameters(plain), np.load(CASES / "lora_expected.npz")["alpha_in_header"]
    after = fused(plain, CASES / "lora_alpha_in_header.safetensors")
    np.testing.assert_allclose((after[f"{LAYER}.weight"] - before[f"{LAYER}.weight"]).numpy(), expected, atol=1e-6)


@pytest.mark.skipif(not CASES.is_dir(), reason=f"the example files are not at {CASES}")
def test_an_example_file_with_half_a_pair_is_refused(denoiser: QwenImageTransformer2DModel) -> None:
    with pytest.raises(UnusableLora, match=rf"is incomplete: {LAYER} has no lora_B\.weight"):
        lora(CASES / "lora_half_a_pair.safetensors").check(denoiser)
