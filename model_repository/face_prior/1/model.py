"""Triton's adapter of `face_prior`: a scene, a face in it and an identity to the scene with that identity's face."""

from eacps.models.arguments import build_of, version_folder
from eacps.models.bls import check_build, failure, input_arrays, response
from eacps.models.faces import bls
from eacps.models.faces.program import EMAP_FILE, build_swap


class TritonPythonModel:
    """The swapper is another model of this Triton; ``emap.npy`` lies beside this file."""

    def initialize(self, args):
        """Build InsightFace's class over it."""
        self._swap = build_swap(bls.triton_sessions(), version_folder(args) / EMAP_FILE)
        self._build = build_of(args)

    def execute(self, requests):
        """Answer each request by itself: a bad one spoils no other."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        try:
            check_build(request, self._build)
            return response({"prior": self._swap.prior(**input_arrays(request))})
        except Exception as error:  # becomes this request's error response
            return failure("face_prior", error)
