"""Scorers rate one aspect of a picture with a number in [0, 1]; higher is better.

Scorers know pictures and the edit they belong to. They know nothing of recipes, searches or potentials.
"""

from eacps.scoring.alignment import AlignmentScorer
from eacps.scoring.held_out import HeldOutIdentityScorer
from eacps.scoring.identity import IdentityScorer
from eacps.scoring.judge import PictureJudge
from eacps.scoring.preservation import PreservationScorer
from eacps.scoring.questions import (
    Judge,
    Question,
    callers_question,
    load_question,
    load_rubric,
    operators_rubric,
)
from eacps.scoring.scorer import EditContext, MissingScore, Score, Scorer
from eacps.scoring.triton_judge import JoinedQuestions, TritonJudge

__all__ = [
    "AlignmentScorer",
    "EditContext",
    "HeldOutIdentityScorer",
    "IdentityScorer",
    "JoinedQuestions",
    "Judge",
    "MissingScore",
    "PictureJudge",
    "PreservationScorer",
    "Question",
    "Score",
    "Scorer",
    "TritonJudge",
    "callers_question",
    "load_question",
    "load_rubric",
    "operators_rubric",
]
