"""Who takes part on our side: the product's API, and a customer of it."""

from uuid import uuid4

from commands.demo.line import Document, Line


class Product:
    """The API, as its administrator sees it."""

    def __init__(self, url: str, admin_api_key: str) -> None:
        self.line = Line(url)
        self.line.identify("X-API-Key", admin_api_key)
        self._customers: list[Line] = []

    def put_policy(self, name: str, policy: Document) -> None:
        """Make a retry policy."""
        self.line.put(f"retry-policies/{name}", policy)

    def create_plan(self, name: str, limits: Document) -> Document:
        """Make a monthly plan with the retry policy of the same name."""
        body = {
            "code": name,
            "name": "Pro",
            "amount_cents": 2_900,
            "currency_code": "usd",
            "interval": "month",
            "retry_policy": name,
            "limits": limits,
        }
        return self.line.post("plans", body)

    def sign_up(self, plan_id: str) -> "Customer":
        """Let somebody sign up and log in."""
        email, password = f"ada.{uuid4().hex[:6]}@example.com", uuid4().hex
        line = Line(self.line.url)
        self._customers.append(line)
        line.post("users", {"email": email, "password": password, "name": "Ada"})
        line.log_in(email, password)
        return Customer(line, email, plan_id)

    def close(self) -> None:
        """Hang up, also for the customers."""
        for line in (self.line, *self._customers):
            line.close()


class Customer:
    """Somebody with an account."""

    def __init__(self, line: Line, email: str, plan_id: str) -> None:
        self.email = email
        self.line = line
        self._plan_id = plan_id
        self._path = ""

    def add_card(self, stripe_payment_method_id: str) -> Document:
        """Add a card as the default."""
        body = {"stripe_payment_method_id": stripe_payment_method_id, "is_default": True}
        return self.line.post("payment-methods", body)

    def subscribe(self) -> None:
        """Subscribe to the plan."""
        made = self.line.post("subscriptions", {"plan_id": self._plan_id})
        self._path = f"subscriptions/{made['subscription_id']}"

    def subscription(self) -> Document:
        """Look at the subscription."""
        return self.line.get(self._path)

    def explain(self) -> Document:
        """Ask why it is as it is."""
        return self.line.get(f"{self._path}/explain")

    def events(self, *kinds: str) -> list[Document]:
        """Return what happened, of these kinds, oldest first."""
        events = self.line.get(f"{self._path}/events?limit=200")["items"]
        return [event for event in events if event["kind"] in kinds]

    def retries(self) -> list[Document]:
        """Return the payment retries, newest first."""
        retries: list[Document] = self.line.get("payment-retries")["items"]
        return retries

    def payments(self) -> list[Document]:
        """Return the payments, newest first."""
        payments: list[Document] = self.line.get("payments")["items"]
        return payments

    def payment(self, payment_id: str) -> Document:
        """Look at one payment."""
        return self.line.get(f"payments/{payment_id}")

    def entitlements(self) -> Document:
        """Ask what may be used, and what was."""
        return self.line.get("entitlements")
