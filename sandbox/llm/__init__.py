"""A stand-in for model providers: OpenAI's and Anthropic's routes, answered by plain rules."""
