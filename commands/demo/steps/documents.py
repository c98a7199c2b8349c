"""Steps in which the customer uploads documents and gets a streamed answer with citations."""

from rich.markup import escape

from commands.demo.api_client import Document
from commands.demo.checks import expect, wait_until
from commands.demo.context import DemoContext

DOCUMENTS = {
    "What Perdure is": "README.md",
    "Contributing": "CONTRIBUTING.md",
    "Webhooks are hints": "docs/adr/0004-one-look.md",
}
QUESTION = "Does it matter in which order webhooks arrive?"
SOURCE = "Webhooks are hints"
# Reason: at its default speed the sandbox streams faster than a person can read.
TOKEN_SECONDS = 0.04
HANG_UP_AFTER = 4


def ingest(context: DemoContext) -> None:
    """Upload the documents, and wait until they can be searched."""
    context.step("The customer uploads three documents of this project")
    uploaded = [
        context.assistant.ingest(title, (context.stack.project / path).read_text(encoding="utf-8"))
        for title, path in DOCUMENTS.items()
    ]
    for path, upload in zip(DOCUMENTS.values(), uploaded, strict=True):
        document = _wait_ready(context, upload["document_id"], path)
        context.results.titles[document["document_id"]] = document["title"]
        context.results.workflow_ids.append(document["workflow_id"])
        context.say(f"{path}, “{document['title']}”: {document['chunk_count']} passages")
    context.link("the first ingestion", uploaded[0]["workflow_id"])


def _wait_ready(context: DemoContext, document_id: str, path: str) -> Document:
    document: Document = wait_until(
        context.console,
        f"waiting for the ingestion of {path}",
        lambda: context.assistant.document(document_id),
        lambda document: document["document_status"] != "pending",
    )
    expect(document["document_status"] == "ready", f"{path} is ready", document)
    return document


def answer(context: DemoContext) -> None:
    """Ask a question, cut and resume the stream, and check the events and the citation."""
    context.step("The agent answers a question from the documents, token by token")
    context.note(
        "The model is a sandbox that answers by simple rules: it repeats the sentence of the "
        "retrieved passages that shares the most words with the question. All other parts are real."
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
    context.say(f"{len(events)} events without a gap: the WebSocket was cut at ✂ and resumed there")
    excerpts = {citation["document_id"]: citation["excerpt"] for citation in done["citations"]}
    titles = [context.results.titles.get(document_id) for document_id in excerpts]
    expect(titles == [SOURCE], f"“{SOURCE}” is cited", done["citations"])
    for document_id, excerpt in excerpts.items():
        title = context.results.titles[document_id]
        context.say(f"cited: “{title}”, {escape(' '.join(excerpt.split())[:90])}…")
    context.results.runs.append(done)
    context.results.workflow_ids.append(done["workflow_id"])
    context.link("the run", done["workflow_id"])


def _listen(context: DemoContext, run: Document) -> list[Document]:
    """Print the answer as it arrives; close the stream once, and resume from the last event."""
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
    expect("".join(pieces) == run["output"], "the tokens add up to the answer", pieces)
    expect(len(pieces) > HANG_UP_AFTER, f"there are more than {HANG_UP_AFTER} tokens", pieces)
