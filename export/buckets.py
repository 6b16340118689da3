"""Shape buckets: the shapes that engines are built for, declared in this one place.

An engine has one optimization profile for each bucket; its weights are loaded once. What a request asks for is brought
to a bucket before it reaches the networks: pictures by the search server, text by padding. Targets whose graphs take
any shape use the buckets for warming up alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from eacps.tensors import MAX_BACKBONE_BATCH
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
    max_batch: int = MAX_BACKBONE_BATCH

    def __iter__(self) -> Iterator[Bucket]:
        """Yield every bucket; the first has the default size and the shortest text."""
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
MAX_ASPECT = 8
"""Longest side of a size over its shortest; pictures are cut to the sizes, and nobody asks for strips."""


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

    def texts(served: Sequence[Size], most: int) -> tuple[tuple[int, int], ...]:
        shown = max(picture_tokens(size) for size in served) + LABEL_TOKENS
        lengths = ((count, count * shown + words) for count in range(1, most + 1) for words in PROMPT_TOKENS)
        return tuple((count, -(-length // TEXT_STEP) * TEXT_STEP) for count, length in lengths)

    return served_buckets(side, max_pictures, sizes=sizes, pictures=pictures, batch=batch, texts=texts)


def served_buckets(
    side: int,
    max_pictures: int,
    *,
    sizes: tuple[Size, ...],
    pictures: int | None,
    batch: int | None,
    texts: Callable[[Sequence[Size], int], tuple[tuple[int, int], ...]],
) -> Buckets:
    """Choose the buckets of a checkpoint, as `buckets_for` does.

    Args:
        side, max_pictures, sizes, pictures, batch: See there.
        texts: Of the sizes and the most pictures makes the lengths of texts.
    """
    full = side >= FULL_SIDE
    most = max_pictures if pictures is None else pictures
    largest = (FULL_BATCH if full else MAX_BACKBONE_BATCH) if batch is None else batch
    if not 1 <= most <= max_pictures:
        raise InvalidOption(f"the checkpoint takes 1 to {max_pictures} pictures, not {most}")
    if not 1 <= largest <= MAX_BACKBONE_BATCH:
        raise InvalidOption(f"a batch is 1 to {MAX_BACKBONE_BATCH}, not {largest}")
    served = sizes or (FULL_SIZES if full else ((side, side),))
    return Buckets(served, texts(served, most), largest)


def check_sizes(asked: Sequence[Size], multiple: int) -> tuple[Size, ...]:
    """Return the sizes that were asked for, each once.

    Args:
        asked: As the options have them.
        multiple: Sides are multiples of this.

    Raises:
        InvalidOption: One is not, or is a strip.
    """
    sizes = tuple(dict.fromkeys(asked))
    if odd := [size for size in sizes if any(side <= 0 or side % multiple for side in size)]:
        raise InvalidOption(f"sizes must be multiples of {multiple}: {_in_words(odd)}")
    if narrow := [size for size in sizes if max(size) > MAX_ASPECT * min(size)]:
        raise InvalidOption(f"sizes must not be longer than {MAX_ASPECT} times their width: {_in_words(narrow)}")
    return sizes


def _in_words(sizes: Sequence[Size]) -> str:
    return ", ".join(f"{width}x{height}" for width, height in sizes)
