"""Settings of the property tests."""

from hypothesis import settings

# Examples here are pure arithmetic, but the machine may be busy: a slow example is no failure.
settings.register_profile("search", deadline=None)
settings.load_profile("search")
