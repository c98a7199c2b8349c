"""Embedded stack: the servers that the product needs, as child processes of one supervisor."""
