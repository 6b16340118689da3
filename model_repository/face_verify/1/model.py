"""Triton's adapter of `face_verify`: pictures to their faces' embeddings by the held-out verifier."""

from eacps.models.arguments import build_of, parameters
from eacps.models.bls import check_build, failure, input_arrays, response
from eacps.models.faces import bls
from eacps.models.faces.program import FaceSettings, build_embedder
from eacps.tensors import FACE_VERIFIER, FACE_VERIFY


class TritonPythonModel:
    """Detector and verifier are other models of this Triton."""

    def initialize(self, args):
        """Build InsightFace's classes over them."""
        settings = FaceSettings.from_parameters(parameters(args))
        self._embedder = build_embedder(bls.triton_sessions(), settings, FACE_VERIFIER)
        self._build = build_of(args)

    def execute(self, requests):
        """Answer each request by itself: a bad one spoils no other."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        try:
            check_build(request, self._build)
            faces = self._embedder.faces(input_arrays(request)["pictures"])
            return response(faces.outputs(FACE_VERIFY))
        except Exception as error:  # becomes this request's error response
            return failure("face_verify", error)
