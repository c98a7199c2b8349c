"""Names of signals that are sent without importing their workflow, which would be a circle."""

REPORT = "report"
