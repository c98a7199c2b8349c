"""The campaign for agents: runs against all that models answer, and what must hold of them."""
