"""Logs, metrics, and the runtime of Temporal's SDK."""
