"""Published searches over noise that a claim of "best" must meet, behind the same ask/tell as the product's own.

They are rivals in the study, not choices of a user. Each docstring says what its paper states and what is our reading:
the papers work with other networks and budgets, so that a setting of theirs need not be the best one here.

rival         what they share: rounds of equal size, state derived from the history
settings      their settings
trust_region, zeno, cross_entropy, evolution, drafts    the rivals
factory       settings or snapshot -> strategy
"""
