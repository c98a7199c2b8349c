"""What is answered without a script: plain rules, always the same."""

from sandbox.llm.conversation import Answer, Asked

NOTHING_FOUND = "I found nothing about that in the documents."


def answer(asked: Asked) -> Answer:
    """Answer a request by the rules of the README."""
    return Answer(NOTHING_FOUND)
