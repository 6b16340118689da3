"""Numbers that a search takes if its settings do not say otherwise, and their bounds."""

MAX_CANDIDATES = 4096
MAX_START_POINTS = 16
MIN_ANGLE_RAD = 1e-3  # below this a child is its parent, at the price of a whole trajectory
DEFAULT_ANGLE_RAD = 0.6  # wide moves won the trials: a child's score then correlates at about 0.7 with its parent's
DEFAULT_DECAY = 0.7
DEFAULT_OFFSET_RADIUS = 1024
DEFAULT_CANDIDATES = 16  # of the first round; with best-of-N, of the search
DEFAULT_PARENTS = 4
DEFAULT_CHILDREN = 4
DEFAULT_ROUNDS = 1
DEFAULT_ADAPTIVE_CANDIDATES = 32
DEFAULT_FRESH_SHARE = 0.1
DEFAULT_MICRO_BATCH = 8
DEFAULT_CROSSOVER = True
DEFAULT_RESTARTS = True
DEFAULT_RESTART_TRAJECTORIES = 24  # with 64 trajectories 0.3 sd better than 48: docs/experiments.md, 2026-12-01


def adaptive_rounds(trajectories: int) -> int:
    """Rounds of an adaptive search after the first: eight, and in large searches one for every four trajectories."""
    return min(64, max(8, trajectories // 4))
