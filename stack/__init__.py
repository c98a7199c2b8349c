"""The embedded stack: every server the product needs, as children of one supervisor."""
