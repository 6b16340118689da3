"""The search core. Pure: standard library, numpy and `eacps.errors`; no I/O, clock, logging or event loop.

recipe      a candidate's noise, replayable forever
cohort      what strategies and evaluators exchange
potential   scores -> U(x)
spec        settings
strategy    ask/tell: protocol and state machine
best_of_n, eacps    the strategies
factory     settings or snapshot -> strategy
statistics  what the search gained
"""
