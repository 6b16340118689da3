"""Remove a model's reasoning from its reply, so that only the answer is read.

Models mark thoughts in the text in many ways: ``<think>`` (DeepSeek, Qwen), ``[THINK]`` (Magistral), ``◁think▷``
(Kimi), ``<|channel|>analysis`` (gpt-oss). Some chat templates open the block in the prompt, so that a reply has only
the closing mark. A block that is never closed was cut off, and its content is not an answer.
"""

import re

_NAMES = "think|thinking|thought|thoughts|reasoning|reason|analysis|reflection|scratchpad|seed:think"
_OPENING = r"[<\[◁]\s*(?:" + _NAMES + r")\b[^<>\[\]▷]{0,80}[>\]▷]"
_CLOSING = r"[<\[◁]\s*/\s*(?:" + _NAMES + r")\s*[>\]▷]"
_MARK = re.compile(f"(?P<opening>{_OPENING})|(?P<closing>{_CLOSING})", re.IGNORECASE)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]{0,80}<\|message\|>", re.IGNORECASE)
_FINAL = "final"


def without_reasoning(text: str) -> str:
    """Return the reply without its reasoning; empty if it contains nothing else."""
    return _outside_blocks(_final_channel(text))


def _final_channel(text: str) -> str:
    """Keep the last message of the ``final`` channel (OpenAI's Harmony format)."""
    channels = list(_CHANNEL.finditer(text))
    if not channels:
        return text
    last = channels[-1]
    return text[last.end() :] if last.group(1).lower() == _FINAL else ""


def _outside_blocks(text: str) -> str:
    kept, depth, at = "", 0, 0
    for mark in _MARK.finditer(text):
        if depth == 0:
            kept += text[at : mark.start()]
        if mark.group("opening"):
            depth += 1
        elif depth > 0:
            depth -= 1
        else:
            kept = ""  # closed without having been opened: the prompt's template opened it
        at = mark.end()
    return kept + text[at:] if depth == 0 else kept
