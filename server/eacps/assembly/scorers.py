"""The scorers that only need Triton."""

from eacps.scoring import (
    AlignmentScorer,
    HeldOutIdentityScorer,
    IdentityScorer,
    JoinedQuestions,
    Judge,
    PreservationScorer,
    Scorer,
    TritonJudge,
    load_question,
)
from eacps.triton import TritonGateway

QUESTIONS = ("realism", "prompt")
"""Of the judge in Triton, in their first versions: the miniature learned to answer those."""


def build_scorers(
    gateway: TritonGateway, *, verifier: bool = False, judge: JoinedQuestions | None = None
) -> dict[str, Scorer]:
    """Return every scorer that needs nothing but Triton, by name.

    Args:
        gateway: Gateway to Triton.
        verifier: Whether it serves a held-out verifier.
        judge: Its judge, where it serves one.
    """
    scorers: list[Scorer] = [IdentityScorer(gateway), PreservationScorer(), AlignmentScorer()]
    if verifier:
        scorers.append(HeldOutIdentityScorer(gateway))
    if judge is not None:
        scorers += [TritonJudge(judge, load_question(question), name=question) for question in QUESTIONS]
    return {scorer.name: scorer for scorer in scorers}


def triton_judge(judge: JoinedQuestions) -> dict[str, Judge]:
    """Return the judge in Triton, by name."""
    return {"triton": lambda question: TritonJudge(judge, question)}
