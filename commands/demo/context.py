"""Context of the demo's steps: clients, results and printing."""

from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape

from commands.demo.api_client import Document
from commands.demo.checks import wait_until
from commands.demo.customers import Assistant, Customer, Product
from commands.demo.sandboxes import ModelSandbox, Sandboxes
from commands.demo.stack_process import DemoStack
from commands.demo.team_app import TeamApp


@dataclass
class DemoResults:
    """Results of earlier steps that later steps need."""

    titles: dict[str, str] = field(default_factory=dict)
    runs: list[Document] = field(default_factory=list)
    workflow_ids: list[str] = field(default_factory=list)
    payment: Document = field(default_factory=dict)
    model_call_seq: int = 0


class DemoContext:
    """Clients, results and console of one run of the demo."""

    customer: Customer
    assistant: Assistant

    def __init__(
        self, facts: Document, stack: DemoStack, team_app: TeamApp, console: Console
    ) -> None:
        self.facts = facts
        self.stack = stack
        self.team_app = team_app
        self.console = console
        self.results = DemoResults()
        self.customers: list[Customer] = []
        self._step_count = 0
        self.product = Product(facts["api"], facts["admin_api_key"])
        self.sandboxes = Sandboxes(facts["stripe"], facts["mail"])
        self.models = ModelSandbox(facts["llm"])

    def welcome(self, customer: Customer) -> None:
        """Set the customer of the following steps."""
        self.customer = customer
        self.customers.append(customer)
        self.assistant = Assistant(customer.api)

    def close(self) -> None:
        """Close all connections."""
        self.product.close()
        self.sandboxes.close()
        self.models.close()

    def wait_status(self, status: str) -> Document:
        """Wait until the subscription has a status."""
        subscription: Document = wait_until(
            self.console,
            f"waiting for the subscription to be {status}",
            self.customer.subscription,
            lambda subscription: subscription["subscription_status"] == status,
        )
        return subscription

    def wait_retry(self, status: str) -> Document:
        """Wait until the newest payment retry has a status."""
        retries: list[Document] = wait_until(
            self.console,
            f"waiting for the payment retry to be {status}",
            self.customer.retries,
            lambda retries: retries and _has_status(retries[0], status),
        )
        return retries[0]

    def wait_run(self, run: Document, status: str) -> Document:
        """Wait until a run has a status."""
        run_now: Document = wait_until(
            self.console,
            f"waiting for the run to be {status}",
            lambda: self.assistant.run(run["agent_run_id"]),
            lambda run_now: run_now["run_status"] == status,
        )
        return run_now

    def wait_mail(self, words: str) -> Document:
        """Wait until the customer has got a mail with these words in its subject."""
        mails: list[Document] = wait_until(
            self.console,
            "waiting for the mail",
            lambda: [
                mail
                for mail in self.sandboxes.mails(self.customer.email)
                if words in mail["subject"]
            ],
        )
        return mails[0]

    def step(self, title: str) -> None:
        """Print the heading of the next step."""
        self._step_count += 1
        heading = f"[bold]{self._step_count}. {title}[/] [dim]{self.stack.age_seconds:.0f} s[/]"
        self.console.rule(heading, align="left")

    def say(self, sentence: str) -> None:
        """Print an event that has happened and was checked."""
        self.console.print(f"[green]✓[/] {sentence}", soft_wrap=True)

    def note(self, sentences: str) -> None:
        """Print an explanation for the reader."""
        self.console.print(f"  [yellow]{sentences}[/]")

    def quote(self, speaker: str, text: str) -> None:
        """Print a message of the customer or of the agent."""
        self.console.print(f"  [cyan]{speaker}:[/] {escape(text)}", soft_wrap=True)

    def link(self, what: str, workflow_id: str) -> None:
        """Print the address of a workflow in Temporal's Web UI."""
        url = f"{self.facts['temporal_ui']}/namespaces/{self.facts['namespace']}/workflows/"
        self.console.print(
            f"  [dim]{what} in Temporal's Web UI: {url}{workflow_id}[/]", soft_wrap=True
        )


def _has_status(retry: Document, status: str) -> bool:
    is_planned = status != "waiting" or retry["next_attempt_at"] is not None
    return retry["retry_status"] == status and is_planned
