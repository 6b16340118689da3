"""The nodes. Each gathers its inputs and hands over."""

import importlib
from collections.abc import Callable
from typing import Any

import torch

from eacps.client import v1
from eacps.limits import RANGES, UINT32_MAX

from . import searching
from .searching import Found, SearchHandle, Server
from .tensors import files_of, images_of, mask_file_of

CATEGORY = "EACPS"
SERVER, SEARCH = "EACPS_SERVER", "EACPS_SEARCH"
_SEED = ("INT", {"default": 0, "min": 0, "max": UINT32_MAX, "control_after_generate": True})
_PRICE = RANGES["search.eacps_adaptive.trajectories"]
_TRAJECTORIES = (
    "INT",
    {"default": _PRICE.default, "min": _PRICE.least, "max": _PRICE.most, "tooltip": "Cost, in plain pictures."},
)
_COUNT = ("INT", {"default": 1, "min": 1, "max": 64, "tooltip": "How many of the best pictures to return."})
Declared = dict[str, dict[str, Any]]


class ConnectServer:
    """Names the search server. The API key is read from the environment variable EACPS_API_KEY."""

    CATEGORY = CATEGORY
    FUNCTION = "connect"
    RETURN_TYPES = (SERVER,)
    RETURN_NAMES = ("server",)

    @classmethod
    def INPUT_TYPES(cls) -> Declared:  # noqa: N802  # ComfyUI's name
        """Declare the inputs."""
        return {
            "required": {"address": ("STRING", {"default": "127.0.0.1:50051"})},
            "optional": {"tls_ca": ("STRING", {"default": "", "tooltip": "PEM file, or: system. Empty: no TLS."})},
        }

    def connect(self, address: str, tls_ca: str = "") -> tuple[Server]:
        """Return the server; nothing is sent yet."""
        return (Server(address.strip(), tls_ca.strip()),)


class Search:
    """Puts the person into the scene and searches for the best picture."""

    CATEGORY = CATEGORY
    FUNCTION = "search"
    RETURN_TYPES = ("IMAGE", SEARCH, "STRING")
    RETURN_NAMES = ("images", "search", "report")

    @classmethod
    def INPUT_TYPES(cls) -> Declared:  # noqa: N802
        """Declare the inputs."""
        return {
            "required": {
                "server": (SERVER,),
                "scene": ("IMAGE",),
                "character": ("IMAGE", {"tooltip": "The person; of a batch, all are pictures of the same person."}),
                "prompt": ("STRING", {"multiline": True}),
                "trajectories": _TRAJECTORIES,
                "seed": _SEED,
                "count": _COUNT,
            },
            "optional": {
                "mask": ("MASK", {"tooltip": "White where the scene may change."}),
                "references": ("IMAGE", {"tooltip": "Further pictures for the model."}),
                "negative_prompt": ("STRING", {"default": "", "multiline": True}),
            },
        }

    def search(
        self,
        server: Server,
        scene: torch.Tensor,
        character: torch.Tensor,
        prompt: str,
        trajectories: int,
        seed: int,
        count: int,
        mask: torch.Tensor | None = None,
        references: torch.Tensor | None = None,
        negative_prompt: str = "",
    ) -> tuple[torch.Tensor, SearchHandle, str]:
        """Run the search, and return its best pictures.

        Raises:
            ValueError: A tensor is no picture or mask, or there are several scenes.
            CallFailed: The server refused the search, or it failed.
        """
        scenes = files_of(scene)
        if len(scenes) != 1:
            raise ValueError(f"one search has one scene, not a batch of {len(scenes)}")
        first, *more = files_of(character)
        request = v1.RunSearchRequest(
            scene=v1.Image(data=scenes[0]),
            character=v1.Image(data=first),
            more_characters=[v1.Image(data=one) for one in more],
            references=[v1.Image(data=one) for one in files_of(references)] if references is not None else (),
            prompt=prompt,
            negative_prompt=negative_prompt or None,
            search=v1.SearchSettings(eacps_adaptive={"trajectories": trajectories}, random_seed=seed),
        )
        if (mask_file := mask_file_of(mask, scene)) is not None:
            request.mask.data = mask_file
        return _outputs(searching.run(server, request, count, _progress()))


class Pick:
    """Returns the picture of a rank, if wanted by other weights. Generates nothing."""

    CATEGORY = CATEGORY
    FUNCTION = "pick"
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("image", "candidate")

    @classmethod
    def INPUT_TYPES(cls) -> Declared:  # noqa: N802
        """Declare the inputs."""
        return {
            "required": {"search": (SEARCH,), "rank": ("INT", {"default": 1, "min": 1, "max": _PRICE.most})},
            "optional": {"weights": ("STRING", {"default": "", "tooltip": "Such as: identity=0.8, realism=0.2"})},
        }

    def pick(self, search: SearchHandle, rank: int, weights: str = "") -> tuple[torch.Tensor, str]:
        """Return a picture and the id of its candidate.

        Raises:
            ValueError: There are fewer pictures, or the weights cannot be read.
            CallFailed: The server has no such search or scorer.
        """
        found = searching.pick(search, rank, searching.weights_of(weights))
        return images_of(found.files), found.report


class MoreLikeThis:
    """Searches again for the same edit, around candidates that are liked."""

    CATEGORY = CATEGORY
    FUNCTION = "search"
    RETURN_TYPES = ("IMAGE", SEARCH, "STRING")
    RETURN_NAMES = ("images", "search", "report")

    @classmethod
    def INPUT_TYPES(cls) -> Declared:  # noqa: N802
        """Declare the inputs."""
        return {
            "required": {
                "search": (SEARCH,),
                "candidates": ("STRING", {"default": "", "tooltip": "Ids from a pick or a report, by commas."}),
                "trajectories": _TRAJECTORIES,
                "seed": _SEED,
                "count": _COUNT,
            },
        }

    def search(
        self, search: SearchHandle, candidates: str, trajectories: int, seed: int, count: int
    ) -> tuple[torch.Tensor, SearchHandle, str]:
        """Run the search, and return its best pictures.

        Raises:
            ValueError: No candidate is named.
            CallFailed: The server refused the search, or it failed.
        """
        names = [name.strip() for name in candidates.split(",") if name.strip()]
        if not names:
            raise ValueError("name at least one candidate")
        request = searching.begun_around(search, names, trajectories=trajectories, seed=seed)
        return _outputs(searching.run(search.server, request, count, _progress()))


class OpenSearch:
    """Opens a search that the server keeps, by its id."""

    CATEGORY = CATEGORY
    FUNCTION = "open"
    RETURN_TYPES = (SEARCH,)
    RETURN_NAMES = ("search",)

    @classmethod
    def INPUT_TYPES(cls) -> Declared:  # noqa: N802
        """Declare the inputs."""
        return {"required": {"server": (SERVER,), "search_id": ("STRING", {"default": ""})}}

    def open(self, server: Server, search_id: str) -> tuple[SearchHandle]:
        """Return the search, of which the server has to know.

        Raises:
            CallFailed: It does not.
        """
        with server.client() as client:
            return (SearchHandle(server, client.get(search_id.strip()).search_id),)


def _outputs(found: Found) -> tuple[torch.Tensor, SearchHandle, str]:
    return images_of(found.files), found.handle, found.report


def _progress() -> Callable[[int, int], None]:
    """Return what moves ComfyUI's progress bar and, when its user interrupts, raises; nothing outside of ComfyUI."""
    try:
        utils = importlib.import_module("comfy.utils")
        management = importlib.import_module("comfy.model_management")
    except ModuleNotFoundError as exc:
        if exc.name not in ("comfy", "comfy.utils", "comfy.model_management"):
            raise
        return lambda done, planned: None  # noqa: ARG005
    bar = utils.ProgressBar(1)

    def report(done: int, planned: int) -> None:
        management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done, max(done, planned))

    return report


NODE_CLASS_MAPPINGS: dict[str, type] = {
    "EacpsServer": ConnectServer,
    "EacpsSearch": Search,
    "EacpsPick": Pick,
    "EacpsMoreLikeThis": MoreLikeThis,
    "EacpsOpenSearch": OpenSearch,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "EacpsServer": "EACPS Server",
    "EacpsSearch": "EACPS Search",
    "EacpsPick": "EACPS Pick",
    "EacpsMoreLikeThis": "EACPS More Like This",
    "EacpsOpenSearch": "EACPS Open Search",
}
