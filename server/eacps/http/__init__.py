"""An HTTP interface in the form of OpenAI's image API, over a search server.

    app         the routes, and which callers are refused before anything is read
    edits       POST /v1/images/edits
    form        its multipart body, within limits
    fields      its fields, checked
    edit        what they ask for: the search
    searching   the search, followed to its best pictures
    answer      the response, whole or as events
    mask        OpenAI's mask as one of ours
    output      a result in the format and size that the caller wants
    errors      errors in OpenAI's form, from gRPC's status codes
    disconnect  work that ends when its caller leaves

Everything is a call of the search server with the caller's own key; nothing is kept here.
"""

from eacps.http.app import Upstream, create_app
from eacps.http.edits import HttpLimits

__all__ = ["HttpLimits", "Upstream", "create_app"]
