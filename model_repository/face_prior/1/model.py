"""Triton's adapter of `face_prior`: scene and character to the scene with the character's face."""

from eacps.models.arguments import parameters, version_folder
from eacps.models.bls import failure, input_arrays, response
from eacps.models.faces import bls
from eacps.models.faces.program import EMAP_FILE, FaceSettings, build_swap


class TritonPythonModel:
    """Detector, recogniser and swapper are other models of this Triton; ``emap.npy`` lies beside this file."""

    def initialize(self, args):
        """Build InsightFace's classes over them."""
        settings = FaceSettings.from_parameters(parameters(args))
        self._swap = build_swap(bls.triton_sessions(), settings, version_folder(args) / EMAP_FILE)

    def execute(self, requests):
        """Answer each request by itself: a bad one spoils no other."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        try:
            arrays = input_arrays(request)
            prior = self._swap.prior(
                arrays["scene"],
                arrays["character"],
                scene_face=int(arrays["scene_face"][0]),
                character_face=int(arrays["character_face"][0]),
                source=arrays.get("source"),
            )
            return response(bls.tensors(prior.outputs()))
        except Exception as error:  # becomes this request's error response
            return failure("face_prior", error)
