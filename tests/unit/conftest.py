"""Settings of Hypothesis, for the property-based tests."""

from hypothesis import settings

# Reason: on a busy machine an example can take longer than Hypothesis's default deadline.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
