"""Shape buckets: the shapes that engines are built for, declared in this one place.

An engine has one optimisation profile for each bucket; its weights are loaded once. What a request asks for is brought
to a bucket before it reaches the networks: pictures by the search server, text by padding. Targets whose graphs take
any shape use the buckets for warming up alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from eacps.tensors import MAX_DENOISER_BATCH
from export.request import InvalidOption

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Bucket:
    """One shape of the denoiser's inputs, but for its batch.

    Args:
        size: Of the result, width and height in pixels.
        pictures: Conditioning pictures.
        text_tokens: Length to which the text is padded, its pictures' tokens included.
    """

    size: Size
    pictures: int
    text_tokens: int


@dataclass(frozen=True)
class Buckets:
    """All shapes that are served.

    Args:
        sizes: Of results, the default one first.
        texts: (pictures, padded length) that go together.
        max_batch: Candidates at once, in every bucket.
    """

    sizes: tuple[Size, ...]
    texts: tuple[tuple[int, int], ...]
    max_batch: int = MAX_DENOISER_BATCH

    def __iter__(self) -> Iterator[Bucket]:
        """Give every bucket, the smallest text of the default size first."""
        return (Bucket(size, *text) for size in self.sizes for text in self.texts)

    @property
    def max_pictures(self) -> int:
        """Most conditioning pictures of a request."""
        return max(pictures for pictures, _ in self.texts)


# For checkpoints of the published size. Four candidates at 1024x1024 already fill a GPU.
FULL_SIDE = 1024
FULL_SIZES: tuple[Size, ...] = ((1024, 1024), (832, 1248), (1248, 832), (512, 512))
FULL_BATCH = 4

# Beside its pictures a text has a short prompt, or the longest that the API takes: 2,000 characters, about 500 tokens.
PROMPT_TOKENS = (64, 576)
LABEL_TOKENS = 8  # "Picture 1: " and the marks around a picture
TEXT_STEP = 64


def buckets_for(
    side: int,
    max_pictures: int,
    *,
    sizes: tuple[Size, ...] = (),
    pictures: int | None = None,
    batch: int | None = None,
    picture_tokens: Callable[[Size], int],
) -> Buckets:
    """Choose the buckets of a checkpoint.

    Args:
        side: Of a square picture of the checkpoint's own area, in pixels.
        max_pictures: That the checkpoint takes.
        sizes: Asked for instead of its own; none for those.
        pictures: Most conditioning pictures asked for, None for all that it takes.
        batch: Largest batch asked for, None for the checkpoint's own.
        picture_tokens: Tokens of text that a conditioning picture of a size takes.

    Raises:
        InvalidOption: ``pictures`` or ``batch`` is out of range.
    """
    full = side >= FULL_SIDE
    most = max_pictures if pictures is None else pictures
    largest = (FULL_BATCH if full else MAX_DENOISER_BATCH) if batch is None else batch
    if not 1 <= most <= max_pictures:
        raise InvalidOption(f"the checkpoint takes 1 to {max_pictures} pictures, not {most}")
    if not 1 <= largest <= MAX_DENOISER_BATCH:
        raise InvalidOption(f"a batch is 1 to {MAX_DENOISER_BATCH}, not {largest}")
    served = sizes or (FULL_SIZES if full else ((side, side),))
    shown = max(picture_tokens(size) for size in served) + LABEL_TOKENS
    lengths = ((count, count * shown + words) for count in range(1, most + 1) for words in PROMPT_TOKENS)
    texts = tuple((count, -(-length // TEXT_STEP) * TEXT_STEP) for count, length in lengths)
    return Buckets(served, texts, largest)
