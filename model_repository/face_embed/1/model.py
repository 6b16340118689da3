"""Triton's adapter of `face_embed`: pictures to their faces and embeddings."""

from eacps.models.arguments import build_of, parameters
from eacps.models.bls import check_build, failure, input_arrays, response
from eacps.models.faces import bls
from eacps.models.faces.program import FaceSettings, build_embedder
from eacps.tensors import FACE_EMBED


class TritonPythonModel:
    """Detector and recognizer are other models of this Triton."""

    def initialize(self, args):
        """Build InsightFace's classes over them."""
        self._embedder = build_embedder(bls.triton_sessions(), FaceSettings.from_parameters(parameters(args)))
        self._build = build_of(args)

    def execute(self, requests):
        """Answer each request by itself: a bad one spoils no other."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        try:
            check_build(request, self._build)
            faces = self._embedder.faces(input_arrays(request)["pictures"])
            return response(faces.outputs(FACE_EMBED))
        except Exception as error:  # becomes this request's error response
            return failure("face_embed", error)
