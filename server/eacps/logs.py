"""Log lines for machines: one JSON object a line, with the search that it is about. Never pictures, prompts or keys.

A record's attribute ``fields``, a mapping, becomes fields of the object.
"""

import contextvars
import json
import logging
from datetime import UTC, datetime

search_id: contextvars.ContextVar[str] = contextvars.ContextVar("search_id", default="")
"""Search that the running task works for."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON: time, level, logger, message, and search and exception where there are."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if search_id.get():
            line["search_id"] = search_id.get()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
