"""ComfyUI nodes for EACPS: search, pick, more like this.

Put this folder into ComfyUI's ``custom_nodes``, and install `eacps` into ComfyUI's environment; see README.md.
"""

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
