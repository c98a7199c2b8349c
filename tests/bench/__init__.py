"""Measures what durability costs: this commit beside another one and beside simpler ways."""
