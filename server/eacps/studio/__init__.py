"""The studio: a web application for people who choose pictures by looking. A client of the API, and nothing else.

    app          the application: its routes, and what its answers have in common
    guard        which requests are answered at all: host, origin, size
    sessions     who asks: an API key for each browser, kept in memory
    searches     searches as JSON, their events as a stream
    pictures     pictures in and out, and as browsers show them
    samples      bundled pictures to begin with
    failures     what clients raise as JSON
    page/        what runs in the browser: HTML, CSS and modules of JavaScript

It knows nothing of engine, store or models: what it shows comes from `eacps.client`.
"""

from eacps.studio.app import studio_app
from eacps.studio.samples import StudioSamples
from eacps.studio.sessions import Sessions

__all__ = ["Sessions", "StudioSamples", "studio_app"]
