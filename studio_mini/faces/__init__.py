"""Face pack of studio-mini: small networks behind the tensor contracts of InsightFace's model zoo.

`detector`, `recognizer`, `swapper` hold the networks, `pictures` draws their training data from the procedural
world, `alignment` and `augmentation` prepare it, `onnx_files` writes the three ONNX files, and `pack` loads them
through InsightFace's own classes.
"""
