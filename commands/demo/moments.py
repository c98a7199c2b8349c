"""Moments, as people read them."""

from datetime import datetime


def short(moment: str | None) -> str:
    """Render a moment of the API; none is one that somebody has to ask for."""
    return f"{datetime.fromisoformat(moment):%d %b %Y %H:%M:%S} UTC" if moment else "when asked"
