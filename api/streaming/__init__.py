"""Streams: what happens to a thing, as it happens, from any point on with no gap."""

from fastapi import APIRouter

from api.streaming import agent_runs, subscriptions, tickets

router = APIRouter(tags=["streams"])
for _module in (tickets, subscriptions, agent_runs):
    router.include_router(_module.router)
