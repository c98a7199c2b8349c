"""Composition root: clients of outside systems, activities by task queue, workers."""
