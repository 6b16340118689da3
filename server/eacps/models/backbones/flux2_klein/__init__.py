"""FLUX.2 klein: as diffusers' Flux2KleinPipeline and Flux2KleinInpaintPipeline do it."""
