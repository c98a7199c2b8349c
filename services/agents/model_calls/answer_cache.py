"""Finds answers that a model gave before, stores new ones, and deletes those that have expired."""

import asyncio
from datetime import timedelta
from uuid import UUID

import structlog
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from database.llm.answer_cache import AnswerCacheRepository
from database.session import DATABASE_DOWN, Sessions
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.llm.answer_cache import is_repeatable
from domain.llm.messages import ModelReply
from services.agents.model_calls.attempt import Attempt
from services.agents.model_calls.output import read_output

PRUNE_SECONDS = 300.0
PRUNE_SIZE = 1_000

log = structlog.get_logger(__name__)


async def find_answer(session: AsyncSession, user_id: UUID, planned: Attempt) -> ModelReply | None:
    """Return the answer that a model gave to the same request of the same user, if it is cached.

    Args:
        session: The caller's transaction, which goes on also if the look-up fails.
        user_id: The run's owner.
        planned: The attempt that would be made.
    """
    if planned.cache_key is None:
        return None
    try:
        async with session.begin_nested():
            found = await AnswerCacheRepository(session).find(user_id, planned.cache_key)
        reply = None if found is None else ModelReply.model_validate(found)
    except (SQLAlchemyError, ValidationError) as error:
        # Reason: a cache saves money, but no run may fail because of it. If the database is down,
        # the reservation of the call fails next.
        log.warning("cached_answer_not_read", error=type(error).__name__)
        return None
    if reply is None or read_output(planned.prompt.spec, reply).problem is not None:
        return None
    return reply


async def keep_answer(
    session: AsyncSession, user_id: UUID, attempt: Attempt, reply: ModelReply
) -> None:
    """Store an answer for the next run with the same request, if it may be given again.

    Args:
        session: The caller's transaction, which goes on also if this fails.
        user_id: The run's owner.
        attempt: The attempt that brought the answer.
        reply: What the model returned; it fits the agent's schema.
    """
    rules, key = attempt.prompt.spec.cache, attempt.cache_key
    if rules is None or key is None or attempt.is_cached or not is_repeatable(reply):
        return
    kept = reply.model_copy(update={"usage": None}).model_dump(mode="json")
    model, ttl = attempt.request.model, timedelta(hours=rules.ttl_hours)
    try:
        async with session.begin_nested():
            await AnswerCacheRepository(session).put(user_id, key, model, kept, ttl)
    except SQLAlchemyError as error:
        # Reason: the answer is paid for, and is stored with the run all the same.
        log.warning("answer_not_cached", error=type(error).__name__)


def token_event(attempt: Attempt, reply: ModelReply) -> NewRunEvent:
    """Return the text of a cached answer as one event of the stream."""
    facts = {"text": reply.text, "attempt": attempt.number, "step": attempt.step_input.step}
    return NewRunEvent(kind=RunEventKind.TOKEN, data=facts)


async def prune_expired_answers(sessions: Sessions) -> None:
    """Delete answers that have expired, every few minutes, until cancelled."""
    while True:
        try:
            count = PRUNE_SIZE
            while count == PRUNE_SIZE:
                async with sessions.begin() as session:
                    count = await AnswerCacheRepository(session).prune(PRUNE_SIZE)
        except DATABASE_DOWN as error:
            log.warning("cached_answers_not_pruned", error=type(error).__name__)
        except Exception:
            log.exception("cached_answers_not_pruned")
        await asyncio.sleep(PRUNE_SECONDS)
