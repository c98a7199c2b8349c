"""Steps of the demo: functions that take the context, act, and check the result."""
