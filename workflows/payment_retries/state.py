"""The state of a payment retry: its facts and its owed steps."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.payment_retries.lifecycle import (
        CLOSED,
        AttemptTrigger,
        RetryFacts,
        RetryStatus,
        with_asked_at,
    )
    from domain.payment_retries.messages import ChargeInput, RetryStart


class RetryState:
    """The facts and owed steps of one payment retry, kept across continue-as-new."""

    def __init__(self, start: RetryStart) -> None:
        self.facts = start.facts or _initial_facts(start)
        self.attempt = start.attempt
        self.charge = start.charge
        self.is_opened = start.facts is not None
        self.is_refresh_owed = start.is_refresh_owed
        self.released_at = start.released_at
        self._offered_card_id = start.offered_card_id
        self._start = start

    def move(self, **changes: object) -> None:
        """Update the facts."""
        self.facts = self.facts.model_copy(update=changes)

    def is_closed(self) -> bool:
        """Return whether nothing is left to collect, as far as is known."""
        is_reopening = self.is_refresh_owed or not self.is_opened
        return self.facts.retry_status in CLOSED and not is_reopening

    def is_owing(self) -> bool:
        """Return whether a step is owed."""
        return not self.is_opened or self.is_refresh_owed or self.charge is not None

    def owe_charge(self, trigger: AttemptTrigger, card_id: str | None = None) -> None:
        """Owe one charge; a charge of a new card replaces an owed charge."""
        if self.charge is not None and trigger is not AttemptTrigger.NEW_CARD:
            return
        self.attempt += 1
        self.charge = ChargeInput(
            payment_retry_id=self._start.payment_retry_id,
            stripe_subscription_id=self._start.stripe_subscription_id,
            stripe_invoice_id=self._start.stripe_invoice_id,
            attempt=self.attempt,
            trigger=trigger,
            attempted_at=workflow.now(),
            stripe_payment_method_id=card_id,
        )

    def try_card(self, card_id: str | None) -> None:
        """Owe a charge of another card; while suspended, only keep the card for the resumption."""
        if self.facts.retry_status is RetryStatus.PAUSED:
            self._offered_card_id = card_id
        elif not self.is_closed():
            self.owe_charge(AttemptTrigger.NEW_CARD, card_id)

    def stop(self) -> None:
        """End the payment retry without another charge."""
        self.charge, self.is_refresh_owed, self.is_opened = None, False, True
        if self.facts.retry_status not in CLOSED:
            self.move(retry_status=RetryStatus.CANCELED)

    def resume(self) -> None:
        """Resume a suspended payment retry, with a new card if one was set meanwhile."""
        card_id, self._offered_card_id = self._offered_card_id, None
        self.move(retry_status=RetryStatus.WAITING, asked_at=None)
        self.facts = with_asked_at(self.facts, workflow.now())
        if card_id is not None:
            self.owe_charge(AttemptTrigger.NEW_CARD, card_id)

    def release(self) -> None:
        """Begin to collect an imported invoice, as if its first charge had failed now."""
        if not self.facts.is_imported:
            return
        self.is_opened, self.released_at = False, workflow.now()
        self.move(retry_status=RetryStatus.WAITING, is_imported=False)

    def to_start_input(self, link: str | None, mailed_keys: tuple[str, ...]) -> RetryStart:
        """Return the input of the next run of the workflow."""
        carried_over = {
            "facts": self.facts if self.is_opened else None,
            "attempt": self.attempt,
            "charge": self.charge,
            "offered_card_id": self._offered_card_id,
            "is_refresh_owed": self.is_refresh_owed,
            "is_imported": self.facts.is_imported,
            "released_at": self.released_at,
            "link": link,
            "mailed_keys": mailed_keys,
        }
        return self._start.model_copy(update=carried_over)


def _initial_facts(start: RetryStart) -> RetryFacts:
    is_paused = start.is_suspended or start.is_imported
    return RetryFacts(
        retry_status=RetryStatus.PAUSED if is_paused else RetryStatus.WAITING,
        is_imported=start.is_imported,
        waits_from=workflow.now(),
        grace_ends_at=start.grace_ends_at,
    )
