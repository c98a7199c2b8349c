"""Command `replay`: replays recorded or running histories with the current code."""
