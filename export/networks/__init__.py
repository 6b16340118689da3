"""The served networks: how each becomes an ONNX graph, and how its original answers."""
