"""What replies mean: yes, no, a grade, or nothing that may be scored."""

import json
import math

import pytest

from eacps.errors import ScorerFailed
from eacps.scoring.answers import CutOff, NotGraded, Reply, Token, read_grade, read_scores, read_word
from eacps.scoring.reasoning import without_reasoning

YES = [
    "Yes",
    "yes.",
    "YES!",
    "**Yes**",
    "**Yes.**",
    "_yes_",
    "> Yes",
    "# Yes",
    "`Yes`",
    "✅ Yes",
    "Yes 👍",
    "Yeah",
    '"Yes"',
    "“Yes”",
    '["Yes"]',
    "Yes\u200b",
    "\ufeffYes",
    "Ｙｅｓ",
    "Answer: Yes",
    "Answer - Yes",
    "The answer is yes.",
    "Final answer: **Yes**",
    "So, yes.",
    "Definitely yes.",
    "I would say yes.",
    "Yes, yes.",
    "Yes, it does.",
    "Yes it does",
    "Yes; the light fits",
    "Yes - the face looks natural",
    "Yes, no artifacts are visible.",
    "Yes. There are no seams.",
    "Yes, it is free of visible artifacts; no seams, no odd shadows.",
    "The light fits.\nYes",
    "1. Light: fits\n2. Skin: fits\n\nYes",
    "Is it natural? Yes.",
    "Yes or No? Yes",
    "(Yes/No) Yes",
    "Answer (Yes/No): Yes",
    "Ja.",
    "Antwort: Ja",
    "«Oui»",
    "Sí.",
    "Да",
    "はい。",
    "是的。",
    "예",
    "<think>no, maybe</think>Yes",
    "<think>a<think>b</think>c</think> Yes",
    "the light is odd ... no\n</think>\n\nYes",
    "<thinking>Hm.</thinking>\n<answer>Yes</answer>",
    "[THINK]no[/THINK]Yes",
    "◁think▷no◁/think▷Yes",
    "<|channel|>analysis<|message|>no<|end|><|start|>assistant<|channel|>final<|message|>Yes",
    "<|begin_of_box|>Yes<|end_of_box|>",
    "$\\boxed{\\text{Yes}}$",
    '{"answer": "Yes"}',
    '{"Answer": "YES"}',
    '{"answer": true}',
    "{'answer': 'Yes'}",
    "{“answer”: “Yes”}",
    '{"reasoning": "no seams", "answer": "Yes"}',
    '```json\n{"answer": "Yes"}\n```',
    'Here it is:\n```\n{"answer": "yes"}\n```\nHope that helps.',
]
NO = [
    "No",
    "no.",
    "Nope.",
    "No - it does not",
    '"No" - it does not',
    "No, it does not",
    "No it doesn't",
    "No — the seam shows",
    "No\nThere are seams",
    "No.\n\nThe skin is smeared.",
    "The skin is smeared. No.",
    "No, there is no smile.",
    "Answer: No",
    "The answer is: **No**.",
    "Yes or No: No",
    "Yes or no: no, it isn't",
    "Nein.",
    "Non, elle ne sourit pas.",
    "Não.",
    "いいえ",
    "不是",
    "<think>Yes? maybe yes.</think>No",
    '{"answer": "No", "why": "not a clear yes"}',
]
UNCLEAR = [
    "",
    "   ",
    "Perhaps",
    "Maybe yes",
    "Y",
    "true",
    "unknown",
    "N/A",
    "None",
    "Nothing",
    "Not really",
    "It could be yes, it could be no.",
    "Yes and no.",
    "Yes/No",
    "Yes or No",
    "Yes, No, or Maybe",
    "Yes. No.",
    "1. Yes\n2. No",
    "Yes, but no.",
    "Yes, unless you look closely, no",
    "Yes if you squint",
    "Answer: No. Wait, answer: Yes.",
    "Answer: Yes. Actually, no.",
    "No seams are visible.",
    "No artifacts.",
    "No problem!",
    "No way to tell",
    "No one would notice.",
    "No-one would notice.",
    "No. 5 of the rules",
    "Seams: No\nLight: fits",
    "Noël",
    "N\u043e",
    "Not yes.",
    "Yes?",
    "Yes, maybe.",
    "No, I'm not sure.",
    "It is unclear. Yes?",
    "I don't think the answer is yes",
    "The answer is not yes",
    "I wouldn't say yes.",
    'The answer "Yes" would be wrong',
    "I can't help with identifying people.",
    "No, I can't help with that.",
    "I'm sorry, but no.",
    "Sorry, no.",
    "As an AI, yes",
    "<think>",
    "<think>yes yes yes",
    "<thinking>The answer is yes",
    "<|channel|>analysis<|message|>Yes",
    '{"answer": "Ye',
    '{"answer": "maybe"}',
    '{"answer": null}',
    '{"answer": "Yes", "answer": "No"}',
    '{"answer": "Yes"} {"answer": "No"}',
    'No. {"answer": "Yes"}',
    '{"has_artifacts": false}',
    '{"explanation": "Yes"}',
    "[[" * 5000,
    "{" * 5000,
]
GRADES = {
    "0.7": 0.7,
    ".5": 0.5,
    "0,7": 0.7,
    "1": 1.0,
    "0": 0.0,
    "1e-3": 0.001,
    "70%": 0.7,
    "7/10": 0.7,
    "**0.7**": 0.7,
    "Score: 0.7": 0.7,
    "The probability is 0.85.": 0.85,
    "0.7\nThe light fits.": 0.7,
    "The light fits.\n0.7": 0.7,
    '{"probability_of_yes": 0.25}': 0.25,
    '```json\n{"score": 0.7}\n```': 0.7,
    '{"score": "0.9"}': 0.9,
    '{"score": "70%"}': 0.7,
    '{"answer": 0.8}': 0.8,
    '{"answer": "Yes", "score": 0.6}': 0.6,
    '{"score": 0.7, "why": "no seams"}': 0.7,
    '<think>0.1</think>{"score": 0.9}': 0.9,
}
NO_GRADES = [
    "7",
    "-0.1",
    "150%",
    "11/10",
    "1/0",
    "Score: 7",
    "0.5 to 0.7",
    "There is 1 artifact",
    "0.2\nor rather\n0.8",
    '{"score": 7}',
    '{"score": -0.1}',
    '{"score": true}',
    '{"score": NaN}',
    '{"score": Infinity}',
    '{"score": null}',
    '{"score": [0.5]}',
    '{"score": 0.2, "rating": 0.8}',
    '{"score": ' + "1" * 6000 + "}",
    "1" * 6000,
]


@pytest.mark.parametrize("text", YES)
def test_a_clear_yes_is_one(text: str) -> None:
    assert read_grade(Reply(text)) == 1.0


@pytest.mark.parametrize("text", NO)
def test_a_clear_no_is_nought(text: str) -> None:
    assert read_grade(Reply(text)) == 0.0


@pytest.mark.parametrize("text", [*UNCLEAR, *NO_GRADES], ids=lambda text: text[:40])
def test_what_is_not_clear_is_not_guessed(text: str) -> None:
    with pytest.raises(ScorerFailed):
        read_grade(Reply(text))


@pytest.mark.parametrize("text", GRADES)
def test_a_grade_is_the_score(text: str) -> None:
    assert read_grade(Reply(text)) == GRADES[text]


@pytest.mark.parametrize("text", ["Yes", "0.7", '{"score": 0.7', "<think>Hm", ""])
def test_a_reply_that_was_cut_off_is_no_answer(text: str) -> None:
    with pytest.raises(CutOff):
        read_grade(Reply(text, truncated=True))


def test_a_reply_of_thoughts_alone_was_cut_off_whatever_the_endpoint_says() -> None:
    for read in (read_grade, read_word):
        with pytest.raises(CutOff):
            read(Reply("<think>The answer is yes, since"))


def token(text: str, **alternatives: float) -> Token:
    return Token(text, [(word.replace("_", " "), math.log(p)) for word, p in alternatives.items()])


WORDS = [token("Yes", Yes=0.5, _yes=0.1, No=0.2, Maybe=0.2), token(", no seams", no=1.0)]


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("Yes", WORDS[:1], 0.75),
        ("Yes, no seams", WORDS, 0.75),
        ("Answer: Yes", [token("Answer", Answer=0.9), token(":"), WORDS[0]], 0.75),
        ('{"answer": "Yes"}', [token('{"'), token("answer"), token('": "'), WORDS[0], token('"}')], 0.75),
        ("<think>no</think>Yes", [token("<think>"), token("no", no=1.0), token("</think>"), WORDS[0]], 0.75),
        ("No, there is no smile", [token("No", No=0.6, Yes=0.4), token(","), token(" no", _no=1.0)], 0.4),
        ("Ja", [token("Ja", Ja=0.6, Nein=0.2)], 0.75),
    ],
)
def test_log_probabilities_at_the_answer_grade_it(text: str, tokens: list[Token], expected: float) -> None:
    assert read_word(Reply(text, tokens=tokens)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "tokens",
    [
        None,
        [],
        [token("Yes")],
        [token("Yes", The=0.9, No=0.001)],
        [token("Y", Y=0.9), token("es", es=1.0)],
        [Token("Yes", [("iveness", 0.0), ("Yes", -9999.0)])],  # seen of gpt-4o: openai/openai-python, issue 2257
        [Token("Yes", [("Yes", 1e9)])],
    ],
)
def test_log_probabilities_that_say_nothing_of_yes_and_no_do_not_grade(tokens: list[Token] | None) -> None:
    with pytest.raises(NotGraded):
        read_word(Reply("Yes", tokens=tokens))


def test_a_word_counts_although_what_follows_it_was_cut_off() -> None:
    assert read_word(Reply("Yes, since the light", truncated=True, tokens=WORDS)) == pytest.approx(0.75)
    for text in ("Yes", "No", "The light fits and"):  # "No" might have become "No seams"
        with pytest.raises(CutOff):
            read_word(Reply(text, truncated=True, tokens=WORDS))


@pytest.mark.parametrize("text", ["Perhaps", "It could be yes, it could be no."])
def test_an_unclear_word_is_not_graded(text: str) -> None:
    with pytest.raises(ScorerFailed, match="neither"):
        read_word(Reply(text, tokens=WORDS))


SCORES = {
    '{"reasoning": "A clean edit.", "score": [20, 22.5]}': 0.8,
    '{\n"reasoning" : "...",\n"score" : [25, 25],\n}': 1.0,
    '{"reasoning": "The "glass" wall is there", "score": [5, 20]}': 0.2,
    '```json\n{"score": ["10", 20]}\n```': 0.4,
    '{"score": 15}': 0.6,
    '<think>[1, 1]</think>{"score": [0, 25]}': 0.0,
}


@pytest.mark.parametrize("text", SCORES)
def test_the_least_of_a_reward_models_scores_counts(text: str) -> None:
    assert read_scores(Reply(text), 25.0) == pytest.approx(SCORES[text])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Yes",
        "20",
        '{"score": []}',
        '{"score": [26, 20]}',
        '{"score": [-1, 20]}',
        '{"score": [true, 20]}',
        '{"score": ["many", 20]}',
        '{"reasoning": "good"}',
        '{"score": [20, 20]} {"score": [10, 20]}',
    ],
)
def test_scores_that_cannot_be_read_are_not_guessed(text: str) -> None:
    with pytest.raises(ScorerFailed):
        read_scores(Reply(text), 25.0)


def test_thoughts_are_removed_and_nothing_else() -> None:
    assert without_reasoning("a < b, [1] and </b>") == "a < b, [1] and </b>"
    assert without_reasoning("before <think>x</think> after") == "before  after"
    assert without_reasoning("<reasoning effort='high'>x</reasoning>Yes") == "Yes"
    assert without_reasoning("Yes <think>and then") == "Yes "
    assert without_reasoning("") == ""


def test_replies_of_any_length_are_read_in_time() -> None:
    for text in ("Yes, " * 20_000, "<think>" * 20_000, "{'" * 20_000, "no " * 50_000, json.dumps({"a": "{" * 50_000})):
        with pytest.raises(ScorerFailed):
            read_grade(Reply(text + "no. yes."))
