"""What Triton hands to the ``initialize`` of a Python model. Knows neither Triton's own module nor torch."""

import json
from collections.abc import Mapping
from pathlib import Path

from eacps.tensors import BUILD_PARAMETER

COMPILE_PARAMETER = "compile"
"""Of a network that is a program of torch: whether it is compiled on a GPU. Graphs have no such parameter."""


def version_folder(args: Mapping[str, str]) -> Path:
    """The folder of the running ``model.py`` and of the files that lie beside it."""
    return Path(args["model_repository"]) / args["model_version"]


def build_of(args: Mapping[str, str]) -> str:
    """The build that the model belongs to, as its configuration names it; empty where it names none."""
    return parameters(args).get(BUILD_PARAMETER, "")


def parameters(args: Mapping[str, str]) -> dict[str, str]:
    """The ``parameters`` of the model's ``config.pbtxt``."""
    stated = json.loads(args["model_config"]).get("parameters", {})
    return {name: value["string_value"] for name, value in stated.items()}
