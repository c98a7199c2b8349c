"""Documents of this project go in; an answer with citations comes out, as it is written."""

from rich.markup import escape

from commands.demo.api_client import Document
from commands.demo.checks import expect, wait_until
from commands.demo.context import DemoContext

DOCUMENTS = {
    "What Perdure is": "README.md",
    "Working in this house": "CONTRIBUTING.md",
    "Hints and looks": "docs/adr/0004-one-look.md",
}
QUESTION = "Does it matter in which order webhooks arrive?"
SOURCE = "Hints and looks"
# The stand-in is quicker than anybody can read.
TOKEN_SECONDS = 0.04
HANG_UP_AFTER = 4


def ingest(context: DemoContext) -> None:
    """Hand in the documents, and wait until they can be searched."""
    context.chapter("Three documents of this project become the customer's own")
    made = [
        context.assistant.ingest(title, (context.stack.project / path).read_text(encoding="utf-8"))
        for title, path in DOCUMENTS.items()
    ]
    for path, document in zip(DOCUMENTS.values(), made, strict=True):
        seen = _wait_ready(context, document["document_id"], path)
        context.results.titles[seen["document_id"]] = seen["title"]
        context.results.workflow_ids.append(seen["workflow_id"])
        context.say(f"{path}, “{seen['title']}”: {seen['chunk_count']} passages")
    context.link("the first ingestion", made[0]["workflow_id"])


def _wait_ready(context: DemoContext, document_id: str, path: str) -> Document:
    seen: Document = wait_until(
        context.console,
        f"{path} is cut, embedded and stored",
        lambda: context.assistant.document(document_id),
        lambda seen: seen["document_status"] != "pending",
    )
    expect(seen["document_status"] == "ready", f"{path} is ready", seen)
    return seen


def answer(context: DemoContext) -> None:
    """Ask, hang up in mid-answer, come back, and check that no piece of it was lost."""
    context.chapter("The agent answers from them, token by token")
    context.note(
        "The model is a stand-in: no intelligence, it answers by plain rules. Here it repeats "
        "the sentence of the retrieved passages that has most words of the question. "
        "All around it is real."
    )
    context.results.model_call_seq = max(
        (call["seq"] for call in context.models.calls()), default=0
    )
    context.models.slow_down(QUESTION, TOKEN_SECONDS)
    context.quote("customer", QUESTION)
    run = context.assistant.ask(QUESTION)
    events = _listen(context, run)
    done = context.wait_run(run, "completed")
    _check_stream(events, done)
    context.say(f"{len(events)} events, no gap: the WebSocket was cut at ✂ and went on from there")
    cited = {citation["document_id"]: citation["excerpt"] for citation in done["citations"]}
    titles = [context.results.titles.get(document_id) for document_id in cited]
    expect(titles == [SOURCE], f"“{SOURCE}” is cited", done["citations"])
    for document_id, excerpt in cited.items():
        title = context.results.titles[document_id]
        context.say(f"cited: “{title}”, {escape(' '.join(excerpt.split())[:90])}…")
    context.results.runs.append(done)
    context.results.workflow_ids.append(done["workflow_id"])
    context.link("the run", done["workflow_id"])


def _listen(context: DemoContext, run: Document) -> list[Document]:
    """Print the answer as it comes; the line breaks once, and is taken up where it broke."""
    events: list[Document] = []
    token_count = 0
    context.console.print("  [cyan]agent:[/] ", end="")
    for event in context.assistant.events(run["agent_run_id"]):
        events.append(event)
        token_count += _print_token(context, event)
        if token_count == HANG_UP_AFTER:
            break
    context.console.print(" [red]✂[/] ", end="")
    for event in context.assistant.events(run["agent_run_id"], after=events[-1]["seq"]):
        events.append(event)
        _print_token(context, event)
    context.console.print()
    return events


def _print_token(context: DemoContext, event: Document) -> bool:
    is_token: bool = event["kind"] == "token"
    if is_token:
        context.console.out(event["data"]["text"], end="", highlight=False)
    return is_token


def _check_stream(events: list[Document], run: Document) -> None:
    numbers = [event["seq"] for event in events]
    expect(numbers == list(range(1, len(events) + 1)), "the stream has no gap", numbers)
    pieces = [event["data"]["text"] for event in events if event["kind"] == "token"]
    expect("".join(pieces) == run["output"], "the pieces are the answer", pieces)
    expect(len(pieces) > HANG_UP_AFTER, "the answer came in pieces", pieces)
