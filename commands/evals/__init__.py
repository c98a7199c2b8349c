"""Command `evals`: plays cases against an agent, and compares versions of its prompt."""
