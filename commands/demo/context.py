"""The context: who takes part, and how the audience is told."""

from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape

from commands.demo.api_client import Document
from commands.demo.checks import wait_until
from commands.demo.customers import Assistant, Customer, Product
from commands.demo.sandboxes import ModelStandIn, Sandboxes
from commands.demo.stack_process import DemoStack


@dataclass
class DemoResults:
    """What later chapters need of earlier ones."""

    titles: dict[str, str] = field(default_factory=dict)
    runs: list[Document] = field(default_factory=list)
    workflow_ids: list[str] = field(default_factory=list)
    payment: Document = field(default_factory=dict)
    model_call_seq: int = 0


class DemoContext:
    """One performance."""

    customer: Customer
    assistant: Assistant

    def __init__(self, facts: Document, stack: DemoStack, console: Console) -> None:
        self.facts = facts
        self.stack = stack
        self.console = console
        self.results = DemoResults()
        self._chapter_count = 0
        self.product = Product(facts["api"], facts["admin_api_key"])
        self.sandboxes = Sandboxes(facts["stripe"], facts["mail"])
        self.models = ModelStandIn(facts["llm"])

    def welcome(self, customer: Customer) -> None:
        """Let a customer come on stage."""
        self.customer = customer
        self.assistant = Assistant(customer.line)

    def close(self) -> None:
        """Hang up."""
        self.product.close()
        self.sandboxes.close()
        self.models.close()

    def wait_status(self, status: str) -> Document:
        """Wait until the subscription has a status."""
        seen: Document = wait_until(
            self.console,
            f"waiting for the subscription to be {status}",
            self.customer.subscription,
            lambda seen: seen["subscription_status"] == status,
        )
        return seen

    def wait_retry(self, status: str) -> Document:
        """Wait until the newest payment retry has a status."""
        seen: list[Document] = wait_until(
            self.console,
            f"waiting for the payment retry to be {status}",
            self.customer.retries,
            lambda retries: retries and _stands(retries[0], status),
        )
        return seen[0]

    def wait_run(self, run: Document, status: str) -> Document:
        """Wait until a run has a status."""
        seen: Document = wait_until(
            self.console,
            f"waiting for the run to be {status}",
            lambda: self.assistant.run(run["agent_run_id"]),
            lambda seen: seen["run_status"] == status,
        )
        return seen

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self._chapter_count += 1
        head = f"[bold]{self._chapter_count}. {title}[/] [dim]{self.stack.age_seconds:.0f} s[/]"
        self.console.rule(head, align="left")

    def say(self, sentence: str) -> None:
        """Say something that has happened."""
        self.console.print(f"[green]✓[/] {sentence}", soft_wrap=True)

    def note(self, sentences: str) -> None:
        """Tell what the audience should know."""
        self.console.print(f"  [yellow]{sentences}[/]")

    def quote(self, who: str, words: str) -> None:
        """Let somebody say something."""
        self.console.print(f"  [cyan]{who}:[/] {escape(words)}", soft_wrap=True)

    def link(self, what: str, workflow_id: str) -> None:
        """Point to a workflow in the Web UI."""
        url = f"{self.facts['temporal_ui']}/namespaces/{self.facts['namespace']}/workflows/"
        self.console.print(
            f"  [dim]{what} in Temporal's Web UI: {url}{workflow_id}[/]", soft_wrap=True
        )


def _stands(retry: Document, status: str) -> bool:
    is_planned = status != "waiting" or retry["next_attempt_at"] is not None
    return retry["retry_status"] == status and is_planned
