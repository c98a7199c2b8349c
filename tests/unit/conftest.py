"""Settings of the tests that draw their examples."""

from hypothesis import settings

# Reason: on a machine that is busy with other things an example can take longer than usual.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
