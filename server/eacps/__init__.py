"""EACPS: search over diffusion noise for identity-preserving image editing."""

__version__ = "0.1.0"
