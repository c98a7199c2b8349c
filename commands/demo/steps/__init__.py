"""The chapters: each a function that takes the context, plays its part, and checks it."""
