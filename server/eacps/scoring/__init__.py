"""Scorers: how good is a picture, in one respect, as a number in [0, 1]; higher is better.

Scorers know pictures and the edit they belong to. They know nothing of recipes, searches or potentials.
"""

from eacps.scoring.held_out import HeldOutIdentityScorer
from eacps.scoring.identity import IdentityScorer
from eacps.scoring.openai_judge import OpenAIJudge
from eacps.scoring.preservation import PreservationScorer
from eacps.scoring.questions import Judge, Question, callers_question, load_question
from eacps.scoring.scorer import EditContext, Missing, Outcome, Scorer, ShownFace
from eacps.scoring.triton_judge import TritonJudge

__all__ = [
    "EditContext",
    "HeldOutIdentityScorer",
    "IdentityScorer",
    "Judge",
    "Missing",
    "OpenAIJudge",
    "Outcome",
    "PreservationScorer",
    "Question",
    "Scorer",
    "ShownFace",
    "TritonJudge",
    "callers_question",
    "load_question",
]
