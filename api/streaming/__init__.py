"""Streams: what happens to a thing, as it happens, from any point on with no gap."""

from fastapi import APIRouter

from api.auth import tickets
from api.streaming import agent_runs, subscriptions

router = APIRouter(tags=["streams"])
for _module in (tickets, subscriptions, agent_runs):
    router.include_router(_module.router)
