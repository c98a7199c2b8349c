"""Task queues: what must not wait for something slow has its own."""

BILLING = "billing"
STRIPE = "stripe"
AGENTS = "agents"
MODELS = "models"
TOOLS = "tools"
