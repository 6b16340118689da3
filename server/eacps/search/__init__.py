"""The search core. Pure: standard library, numpy and `eacps.errors`; no I/O, clock, logging or event loop.

recipe      a candidate's noise, replayable forever
cohort      what strategies and evaluators exchange
potential   scores -> U(x)
objective   potentials -> an order
spec        settings
strategy    ask/tell: the state machine of every strategy
best_of_n, eacps, eacps_adaptive    the strategies
landscape   a model of the potential over noise, for the adaptive one
factory     settings or snapshot -> strategy
statistics  what the search gained
"""
