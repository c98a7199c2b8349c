"""Specs of the built-in tools: what a model reads of them, and their limits."""
