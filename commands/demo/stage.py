"""The stage: who takes part, and how the audience is told."""

from typing import Any

from rich.console import Console

from commands.demo.actors import Customer, Product, Provider
from commands.demo.checks import wait_until
from commands.demo.running import DemoStack

Document = dict[str, Any]


class Stage:
    """One performance."""

    customer: Customer

    def __init__(self, facts: Document, stack: DemoStack, console: Console) -> None:
        self.facts = facts
        self.stack = stack
        self.console = console
        self.product = Product(facts["api"], facts["admin_api_key"])
        self.provider = Provider(facts["stripe"], facts["mail"])

    def close(self) -> None:
        """Hang up."""
        self.product.close()
        self.provider.close()

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
        """Wait until the newest recovery has a status."""
        seen: list[Document] = wait_until(
            self.console,
            f"waiting for the recovery to be {status}",
            self.customer.retries,
            lambda retries: retries and _stands(retries[0], status),
        )
        return seen[0]

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self.console.rule(f"[bold]{title}[/] [dim]{self.stack.age_seconds:.0f} s[/]", align="left")

    def say(self, sentence: str) -> None:
        """Say something that has happened."""
        self.console.print(f"[green]✓[/] {sentence}", soft_wrap=True)

    def link(self, what: str, workflow_id: str) -> None:
        """Point to a workflow in the Web UI."""
        url = f"{self.facts['temporal_ui']}/namespaces/{self.facts['namespace']}/workflows/"
        self.console.print(
            f"  [dim]{what} in Temporal's Web UI: {url}{workflow_id}[/]", soft_wrap=True
        )


def _stands(retry: Document, status: str) -> bool:
    is_planned = status != "waiting" or retry["next_attempt_at"] is not None
    return retry["retry_status"] == status and is_planned
