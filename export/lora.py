"""Fuse LoRA weights into the denoiser with PEFT before the export, once every tensor of the file is accounted for."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin
from peft.tuners.lora import LoraLayer

from export.library_warnings import heard_warnings
from export.listing import listed
from export.lora_file import BIAS, MAGNITUDE, A, B, LoraWeights, UnusableLora, read_lora

ADAPTER = "fused"
NOTHING_EXCLUDED = "You have passed exclude_modules="
"""PEFT says so of every file: its tensors choose the modules. It compares those with its settings all the same."""
LARGEST = torch.finfo(torch.float32).max


@dataclass(frozen=True)
class Lora:
    """One file of LoRA weights.

    Args:
        file: A safetensors file; see `export.lora_file` for the names in it.
        scale: Factor for its effect; finite and not 0.
        loader: diffusers' mixin that loads it into the denoiser of its backbone.
    """

    file: Path
    scale: float
    loader: Any

    def check(self, skeleton: ModelMixin) -> None:
        """Check that the file can be fused, without the denoiser's weights.

        Args:
            skeleton: The denoiser on torch's ``meta`` device. Not modified.

        Raises:
            UnusableLora: Some of the file would not be applied; the message names what.
        """
        with self._named():
            self._attach(copy.deepcopy(skeleton))

    def fuse_into(self, transformer: ModelMixin) -> None:
        """Add the weights to the denoiser's own, in the precision in which those are.

        Raises:
            UnusableLora: Some of the file would not be applied, or the result is not finite.
        """
        with self._named():
            added = self._attach(transformer)
            weights = {name: transformer.get_submodule(name).get_base_layer().weight for name in added.modules}
            before = _sums(weights)
            transformer.fuse_lora(lora_scale=self.scale, adapter_names=[ADAPTER])
            transformer.unload_lora()
            _check_fused(weights, before)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Prefix the message of an unusable file with its path."""
        try:
            yield
        except UnusableLora as error:
            raise UnusableLora(f"{self.file} {error}") from error

    def _attach(self, transformer: ModelMixin) -> LoraWeights:
        """Load the file as an adapter, and return what it adds."""
        weights = read_lora(self.file, transformer)
        if self.scale != 1.0 and not weights.linear_scale:
            raise UnusableLora("is a DoRA with dora_scale, for which a scale other than 1 is not defined")
        part = self.loader.transformer_name
        prefixed = {f"{part}.{name}": tensor for name, tensor in weights.tensors.items()}
        config = None if weights.config is None else {f"{part}.{k}": value for k, value in weights.config.items()}
        try:
            with heard_warnings() as warned:
                self.loader.load_lora_into_transformer(
                    prefixed, transformer, adapter_name=ADAPTER, metadata=config, low_cpu_mem_usage=True
                )
        except Exception as error:  # the libraries raise whatever a malformed header leads to
            raise UnusableLora(f"cannot be fused: {error}") from error
        _check_attached(weights, transformer)
        if unexpected := [text for text in warned if not text.startswith(NOTHING_EXCLUDED)]:
            raise UnusableLora(f"would not be applied as it is: {'; '.join(unexpected)}")
        self._check_size(weights, transformer)
        return weights

    def _check_size(self, weights: LoraWeights, transformer: ModelMixin) -> None:
        """Check that what is added can be computed in FP32."""
        for name in weights.modules:
            a, b = (float(weights.tensors[f"{name}.{role}"].double().norm()) for role in (A, B))
            # No element of a product is larger than the product of the norms.
            if not a * b * abs(transformer.get_submodule(name).scaling[ADAPTER] * self.scale) < LARGEST:
                raise UnusableLora(f"makes weights infinite or NaN: {name}")


def _check_attached(weights: LoraWeights, transformer: ModelMixin) -> None:
    """Check that the adapter in the denoiser holds all tensors of the file and no others."""
    attached: dict[str, torch.Tensor] = {}
    for name, module in transformer.named_modules():
        if isinstance(module, LoraLayer):
            attached |= {f"{name}.{role}": tensor for role, tensor in _tensors_of(module).items()}
    if missing := weights.tensors.keys() - attached.keys():
        raise UnusableLora(f"has weights that are not applied: {listed(missing)}")
    if added := attached.keys() - weights.tensors.keys():
        raise UnusableLora(f"is incomplete: it has no {listed(added)}")
    changed = [
        name
        for name, tensor in attached.items()
        if not tensor.is_meta and not torch.equal(tensor, weights.tensors[name])
    ]
    if changed:
        raise UnusableLora(f"was not loaded as it is: {listed(changed)}")


def _tensors_of(layer: LoraLayer) -> dict[str, torch.Tensor]:
    tensors: dict[str, Any] = {A: layer.lora_A[ADAPTER].weight, B: layer.lora_B[ADAPTER].weight}
    if layer.lora_B[ADAPTER].bias is not None:
        tensors[BIAS] = layer.lora_B[ADAPTER].bias
    if ADAPTER in layer.lora_magnitude_vector:
        tensors[MAGNITUDE] = layer.lora_magnitude_vector[ADAPTER].weight
    return tensors


def _check_fused(weights: Mapping[str, torch.Tensor], before: Mapping[str, float]) -> None:
    """Check that fusing changed the weights, and that they are finite."""
    if broken := [name for name, weight in weights.items() if not torch.isfinite(weight).all()]:
        raise UnusableLora(f"makes weights infinite or NaN: {listed(broken)}")
    if _sums(weights) == before:
        raise UnusableLora("changes nothing in this denoiser")


def _sums(weights: Mapping[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(weight.detach().double().sum()) for name, weight in weights.items()}
