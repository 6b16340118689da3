"""An MCP server over a search server, for assistants.

    server    the tools and resources
    app       the server over HTTP
    pictures  pictures that a tool is given, and that it returns
    searches  what tools say of searches
    errors    errors as tools return them

Every tool is a call of the search server; nothing is kept here.
"""

from eacps.mcp.app import mcp_app
from eacps.mcp.pictures import PictureFolder
from eacps.mcp.server import create_server

__all__ = ["PictureFolder", "create_server", "mcp_app"]
