"""Finds agent runs and steps whose workflow or worker has died."""
