"""Documents of this project go in; an answer with citations comes out, as it is written."""

from rich.markup import escape

from commands.demo.checks import expect, wait_until
from commands.demo.line import Document
from commands.demo.stage import Stage

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


def ingest(stage: Stage) -> None:
    """Hand in the documents, and wait until they can be searched."""
    stage.chapter("Three documents of this project become the customer's own")
    made = [
        stage.assistant.ingest(title, (stage.stack.project / path).read_text(encoding="utf-8"))
        for title, path in DOCUMENTS.items()
    ]
    for path, document in zip(DOCUMENTS.values(), made, strict=True):
        seen = _wait_ready(stage, document["document_id"], path)
        stage.told.titles[seen["document_id"]] = seen["title"]
        stage.told.workflow_ids.append(seen["workflow_id"])
        stage.say(f"{path}, “{seen['title']}”: {seen['chunk_count']} passages")
    stage.link("the first ingestion", made[0]["workflow_id"])


def _wait_ready(stage: Stage, document_id: str, path: str) -> Document:
    seen: Document = wait_until(
        stage.console,
        f"{path} is cut, embedded and stored",
        lambda: stage.assistant.document(document_id),
        lambda seen: seen["document_status"] != "pending",
    )
    expect(seen["document_status"] == "ready", f"{path} is ready", seen)
    return seen


def answer(stage: Stage) -> None:
    """Ask, hang up in mid-answer, come back, and check that no piece of it was lost."""
    stage.chapter("The agent answers from them, token by token")
    stage.note(
        "The model is a stand-in: no intelligence, it answers by plain rules. Here it repeats "
        "the sentence of the retrieved passages that has most words of the question. "
        "All around it is real."
    )
    stage.told.model_call_seq = max((call["seq"] for call in stage.models.calls()), default=0)
    stage.models.slow_down(QUESTION, TOKEN_SECONDS)
    stage.quote("customer", QUESTION)
    run = stage.assistant.ask(QUESTION)
    events = _listen(stage, run)
    done = stage.wait_run(run, "completed")
    _check_stream(events, done)
    stage.say(f"{len(events)} events, no gap: the WebSocket was cut at ✂ and went on from there")
    cited = {citation["document_id"]: citation["excerpt"] for citation in done["citations"]}
    titles = [stage.told.titles.get(document_id) for document_id in cited]
    expect(titles == [SOURCE], f"“{SOURCE}” is cited", done["citations"])
    for document_id, excerpt in cited.items():
        title = stage.told.titles[document_id]
        stage.say(f"cited: “{title}”, {escape(' '.join(excerpt.split())[:90])}…")
    stage.told.runs.append(done)
    stage.told.workflow_ids.append(done["workflow_id"])
    stage.link("the run", done["workflow_id"])


def _listen(stage: Stage, run: Document) -> list[Document]:
    """Print the answer as it comes; the line breaks once, and is taken up where it broke."""
    events: list[Document] = []
    token_count = 0
    stage.console.print("  [cyan]agent:[/] ", end="")
    for event in stage.assistant.events(run["agent_run_id"]):
        events.append(event)
        token_count += _print_token(stage, event)
        if token_count == HANG_UP_AFTER:
            break
    stage.console.print(" [red]✂[/] ", end="")
    for event in stage.assistant.events(run["agent_run_id"], after=events[-1]["seq"]):
        events.append(event)
        _print_token(stage, event)
    stage.console.print()
    return events


def _print_token(stage: Stage, event: Document) -> bool:
    is_token: bool = event["kind"] == "token"
    if is_token:
        stage.console.out(event["data"]["text"], end="", highlight=False)
    return is_token


def _check_stream(events: list[Document], run: Document) -> None:
    numbers = [event["seq"] for event in events]
    expect(numbers == list(range(1, len(events) + 1)), "the stream has no gap", numbers)
    pieces = [event["data"]["text"] for event in events if event["kind"] == "token"]
    expect("".join(pieces) == run["output"], "the pieces are the answer", pieces)
    expect(len(pieces) > HANG_UP_AFTER, "the answer came in pieces", pieces)
