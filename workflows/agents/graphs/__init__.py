"""LangGraph graphs that run as workflow code: one builder per pattern of agents."""
