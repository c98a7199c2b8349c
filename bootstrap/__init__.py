"""Composition: clients of outside systems, activities by task queue, workers."""
