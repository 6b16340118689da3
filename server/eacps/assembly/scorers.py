"""The scorers that only need Triton."""

from eacps.scoring import (
    AlignmentScorer,
    HeldOutIdentityScorer,
    IdentityScorer,
    Judge,
    PreservationScorer,
    Scorer,
    TritonJudge,
    load_question,
)
from eacps.triton import TritonGateway

QUESTIONS = ("realism", "prompt")
"""Of the judge in Triton, in their first versions: the miniature learned to answer those."""


def build_scorers(gateway: TritonGateway, *, verifier: bool = False, judge: bool = True) -> dict[str, Scorer]:
    """Return every scorer that needs nothing but Triton, by name.

    Args:
        gateway: Gateway to Triton.
        verifier: Whether it serves a held-out verifier.
        judge: Whether it serves a judge.
    """
    scorers: list[Scorer] = [IdentityScorer(gateway), PreservationScorer(), AlignmentScorer()]
    if verifier:
        scorers.append(HeldOutIdentityScorer(gateway))
    if judge:
        scorers += [TritonJudge(gateway, load_question(question), name=question) for question in QUESTIONS]
    return {scorer.name: scorer for scorer in scorers}


def triton_judge(gateway: TritonGateway) -> dict[str, Judge]:
    """Return the judge in Triton, by name."""
    return {"triton": lambda question: TritonJudge(gateway, question)}
