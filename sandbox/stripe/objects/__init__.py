"""One module a resource: its shape, its routes and its rules."""
