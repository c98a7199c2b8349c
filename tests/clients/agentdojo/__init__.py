"""AgentDojo in a virtual environment of its own: exports its attacks as data."""
