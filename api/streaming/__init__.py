"""Streams of events of subscriptions and runs, from any event number on, without gaps."""

from fastapi import APIRouter

from api.auth import tickets
from api.streaming import agent_runs, subscriptions

router = APIRouter(tags=["streams"])
for _module in (tickets, subscriptions, agent_runs):
    router.include_router(_module.router)
