"""Where this process's own log goes: to the person's console, above a progress bar where there is one."""

import logging

from rich.console import Console
from rich.logging import RichHandler

from eacps.logs import JsonFormatter


def log_to(console: Console, *, level: int, as_json: bool = False) -> None:
    """Send our log to ``console`` from ``level`` on, and warnings of the libraries; for machines as lines of JSON."""
    handler: logging.Handler = RichHandler(console=console, show_path=False)
    if as_json:
        handler = logging.StreamHandler(console.file)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format="%(message)s", force=True)
    if as_json:
        handler.setFormatter(JsonFormatter())
    logging.getLogger("eacps").setLevel(level)
