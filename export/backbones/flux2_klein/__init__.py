"""FLUX.2 klein."""

PIPELINES = ("Flux2KleinPipeline",)
