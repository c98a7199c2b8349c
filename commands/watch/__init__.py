"""Command `watch`: prints what happens to a resource."""
