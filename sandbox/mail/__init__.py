"""A mail server that keeps everything and sends nothing; what it took can be read over HTTP."""
