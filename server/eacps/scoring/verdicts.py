"""Find the yes or no in a model's prose.

Only a word that stands on its own counts: "No, the seams show" is a no, "No seams are visible" is not. Words that the
model repeats from the instruction ("Yes or No: No") are dropped first. A reply with both words, with a hedge or with a
refusal has no verdict: it is not guessed which one was meant.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


YES = _words("yes yeah yep ja oui sí sì sim да 是 是的 はい 예 네 نعم evet")
NO = _words("no nope nein non não nee nej nei нет 否 不 不是 いいえ 아니요 아니오 لا hayır")
"""Answers of models that reply in the language of the question. Words that mean both in two languages are left out."""

_WORD = "|".join(sorted(YES | NO, key=len, reverse=True))
_ECHO = re.compile(rf"\b({_WORD})\b\s*(?:[/|]|,?\s+(?:or|oder|ou|o|of|или)\s)\s*\b({_WORD})\b")
_NUMERO = re.compile(r"\bno\.\s*(?=\d)")
_BOX = re.compile(r"\\(?:boxed|text|mathbf|textbf)\s*\{([^{}]*)\}")
_TAG = re.compile(r"</?[a-z_][^<>]{0,80}>|<\|[^<>|]{0,80}\|>")
_SENTENCE = re.compile(r"[^.!?。！？;；\n]+[.!?。！？;；]*")
_TOKEN = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*|\d+|[^\w\s]")
_QUOTES = str.maketrans("“”„‟«»‘’‚‛", '""""""\'\'\'\'')
_EMPHASIS = str.maketrans("*_`#~>", "      ")

_LABELS = _words(
    "answer verdict response reply result decision judgment judgement assessment conclusion overall final "
    "antwort réponse respuesta risposta resposta ответ 答案 回答 答え"
)
_LEADING = _words(
    "so therefore thus hence well ok okay definitely clearly absolutely certainly finally my the in short is it it's "
    "a i i'd think believe would say conclude wait actually correction rather"
)
_AFTER_NO = _words(
    "it it's its they they're he he's she she's this that that's these those the there there's i because since as "
    "both all"
)
"""Words that may follow a "no" which is an answer, and not an article."""
_NOT_AFTER_YES = _words("and or nor but if only unless maybe would could might is isn't was wasn't")
_BRACKETS = frozenset("\"'()[]")
_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|unsure|unclear|uncertain|depends|not (?:\w+ )?(?:sure|certain|clear)"
    r"|(?:can't|cannot|can not|could not|couldn't|unable to|not able to|impossible to|hard to|difficult to) (?:\w+ )?"
    r"(?:tell|say|determine|judge|decide|assess|know))\b"
)
_REFUSAL = re.compile(
    r"\b(?:i'm sorry|i am sorry|sorry,|as an ai|(?:can't|cannot|can not|won't|will not|unable to|not able to)"
    r" (?:\w+ )?(?:help|assist|comply|answer|provide|fulfill|process|view"
    r"|identify (?:people|persons?|individuals?|anyone|who|the person|real|them|him|her)"
    r"|see (?:the |any |an )?(?:image|picture|photo)s?))\b"
)


@dataclass(frozen=True)
class Verdict:
    """A clear answer.

    Attributes:
        yes: Whether it is a yes.
        word: The word, in lower case.
        ends_text: Whether nothing follows the word, so that more might have followed in a text that was cut off.
    """

    yes: bool
    word: str
    ends_text: bool


@dataclass(frozen=True)
class _Answer:
    """A yes or no that stands on its own.

    Attributes:
        word: The word.
        leading: Whether it begins its sentence: only then it answers. A later one can still contradict.
        labeled: Whether it is called the answer.
    """

    word: str
    leading: bool
    labeled: bool

    @property
    def yes(self) -> bool:
        return self.word in YES


class _Unclear(Exception):
    """A sentence answers and takes it back."""


def find_verdict(text: str) -> Verdict | None:
    """Return the answer that a text clearly gives to a yes/no question; None if there is none.

    Args:
        text: Without the model's thoughts.
    """
    plain = _plain(text)
    if _REFUSAL.search(plain):
        return None
    try:
        found = [one for sentence in _SENTENCE.findall(plain) for one in _answers_in(sentence)]
    except _Unclear:
        return None
    # A labeled answer sums up what came before it; what is said after it counts again.
    labels = [index for index, one in enumerate(found) if one.labeled]
    counting = [one for index, one in enumerate(found) if not labels or one.labeled or index > labels[-1]]
    answers = [one for one in counting if one.leading]
    if not answers or len({one.yes for one in counting}) != 1:
        return None
    word = answers[-1].word
    return Verdict(word in YES, word, ends_text=_TOKEN.findall(plain)[-1] == word)


def sign_of(word: str) -> bool | None:
    """Return True for a word that means yes, False for no, None for any other.

    Args:
        word: May carry white space, punctuation and capitals, as tokens do.
    """
    words = [token for token in _TOKEN.findall(_plain(word)) if token[0].isalpha()]
    if len(words) != 1 or words[0] not in YES | NO:
        return None
    return words[0] in YES


def _plain(text: str) -> str:
    """Return text in one form of letters and quotes, without markup, invisible characters or echoed instructions."""
    text = unicodedata.normalize("NFKC", text).casefold().translate(_QUOTES)
    text = "".join(character for character in text if unicodedata.category(character) not in ("Cf", "So"))
    text = _BOX.sub(r" \1 ", _BOX.sub(r" \1 ", _TAG.sub("\n", text))).translate(_EMPHASIS)
    text = _NUMERO.sub("number ", text)
    return _ECHO.sub(lambda echo: " " if (echo[1] in YES) != (echo[2] in YES) else echo[0], text)


def _answers_in(sentence: str) -> Iterator[_Answer]:
    if sentence.rstrip().endswith(("?", "？")):
        return
    tokens = _TOKEN.findall(sentence)
    start, labeled = _skip_leading(tokens)
    indices = [index for index in range(start, len(tokens)) if _stands_alone(tokens, index)]
    if start in indices and _HEDGE.search(sentence):
        raise _Unclear
    yield from (_Answer(tokens[index], index == start, labeled and index == start) for index in indices)


def _skip_leading(tokens: Sequence[str]) -> tuple[int, bool]:
    """Return the index of the first word that is neither leading nor a label, and whether there was a label."""
    labeled = False
    for index, token in enumerate(tokens):
        if token in _LABELS:
            labeled = True
        elif token[0].isalpha() and token not in _LEADING:
            return index, labeled
    return len(tokens), labeled


def _stands_alone(tokens: Sequence[str], index: int) -> bool:
    """Return whether a token is a yes or no and no part of what follows it, as in "no seams"."""
    if tokens[index] not in YES | NO:
        return False
    if tokens[index + 1 : index + 2] in (["/"], ["|"]):
        raise _Unclear
    following = next((token for token in tokens[index + 1 : index + 5] if token not in _BRACKETS), "")
    if not following[:1].isalnum():
        return True
    return following not in _NOT_AFTER_YES if tokens[index] in YES else following in _AFTER_NO
