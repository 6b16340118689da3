"""What the libraries print that is no news to whoever exports."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def known_noise_hidden() -> Iterator[None]:
    """Hide progress bars, which would break ours, and two notes of torch's exporter on itself; nothing else."""
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    registration.addFilter(_is_news)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)`", category=FutureWarning)
            yield
    finally:
        registration.removeFilter(_is_news)
        if bars:
            transformers_logging.enable_progress_bar()


def _is_news(record: logging.LogRecord) -> bool:
    return "torchvision is not installed" not in record.getMessage()
