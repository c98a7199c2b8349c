"""Rules of tool calls, of their outcomes, and of requests to outside systems. Pure."""
