"""Where this process's own log goes: to the person's console, above a progress bar where there is one."""

import logging

from rich.console import Console
from rich.logging import RichHandler


def log_to(console: Console, *, level: int) -> None:
    """Send our log to ``console`` from ``level`` on, and warnings of the libraries."""
    handler = RichHandler(console=console, show_path=False)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format="%(message)s", force=True)
    logging.getLogger("eacps").setLevel(level)
