"""Command `agents`: looks at the files of agents."""
