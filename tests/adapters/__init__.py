"""Adapters, held against everything that their other side may answer."""
