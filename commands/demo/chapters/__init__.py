"""The chapters: each a function that takes the stage, plays its part, and checks it."""
