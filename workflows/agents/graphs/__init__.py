"""LangGraph graphs as workflow code, one builder for each pattern of agents."""
