"""Plain agent runs with DBOS, in a virtual environment of its own."""
