"""Command `doctor`: checks settings, dependencies, workers and open work."""
