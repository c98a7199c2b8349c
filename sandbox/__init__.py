"""Stand-ins for outside systems, each a server of its own that knows nothing of the product."""
