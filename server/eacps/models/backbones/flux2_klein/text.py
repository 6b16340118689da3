"""Prompts as the text encoder reads them: a chat of one turn, padded to a fixed length."""

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from eacps.models.backbones.flux2_klein.config import Config
from eacps.models.failures import InvalidInput


@dataclass(frozen=True)
class Text:
    """One text, INT64 [1, text tokens] each; the mask is 0 where a token pads."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor


class TextReader:
    """The checkpoint's tokenizer.

    Args:
        tokenizer: Path of the checkpoint's ``tokenizer.json``.
        config: Of the checkpoint.
    """

    def __init__(self, tokenizer: Path, config: Config) -> None:
        self._tokenizer, self._config = Tokenizer.from_file(str(tokenizer)), config
        # Padding and truncation that the file may carry are for training; here lengths are handled in the open.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def read(self, prompt: str, name: str) -> Text:
        """Tokenize a prompt within its chat.

        Args:
            prompt: The prompt.
            name: Of the request's input, for the message.

        Raises:
            InvalidInput: It takes more tokens than there are. (The pipeline would cut it.)
        """
        opening, _, closing = self._config.template.partition("{}")
        ids, length = self._tokenizer.encode(opening + prompt + closing).ids, self._config.text_tokens
        if len(ids) > length:
            raise InvalidInput([f"{name}: takes {len(ids)} tokens with the chat around it, at most {length} fit"])
        padding = [self._config.pad_token] * (length - len(ids))
        counts, pads = [1] * len(ids), [0] * len(padding)
        if self._config.pad_left:
            return Text(torch.tensor([padding + ids]), torch.tensor([pads + counts]))
        return Text(torch.tensor([ids + padding]), torch.tensor([counts + pads]))
