"""Code of Triton's Python models `face_embed` and `face_prior`: InsightFace's own logic over networks in Triton.

`session` makes a network in Triton look like an ONNX Runtime session, `library` builds InsightFace's classes on such
sessions, `detection`, `embedding` and `prior` are what the two models compute, `program` reads settings and wires
them, `bls` is the only module that knows Triton's Python backend.
"""
