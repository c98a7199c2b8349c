"""The log of requests: written on arrival, filled in once it is known what became of them."""

import time
from collections.abc import Mapping
from typing import Any

import orjson

from sandbox.stripe import forms
from sandbox.stripe.fault_answers import is_as_documented
from sandbox.stripe.faults import ApiFault, Faults, Met
from sandbox.stripe.owners import owner_of_request, values_of
from sandbox.stripe.store import Store

_TOLD = ("type", "code", "decline_code")


class RequestLog:
    """Rows of the `requests` table."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    def arrive(
        self, method: str, path: str, params: dict[str, Any], headers: Mapping[str, str]
    ) -> int:
        """Write a request down and return its number."""
        return self._store.db.insert(
            "requests",
            {
                "method": method,
                "path": path,
                "params": orjson.dumps(forms.listed(params)).decode(),
                "idempotency_key": headers.get("idempotency-key"),
                "user_agent": headers.get("user-agent"),
                "wall_time": time.time(),
            },
        )

    def meet(
        self, seq: int, method: str, path: str, params: dict[str, Any], headers: Mapping[str, str]
    ) -> ApiFault | None:
        """Write down whom a request is about, and return the fault that it meets."""
        owner = owner_of_request(self._store, path, params)
        text = "\n".join(values_of(params))
        agent = headers.get("user-agent", "")
        fault = self._faults.take(Met(method, path, owner, text, agent))
        self._store.db.run(
            "UPDATE requests SET customer = ?, customer_email = ?, fault = ? WHERE seq = ?",
            owner.customer,
            owner.email,
            (fault.label or fault.match) if fault else None,
            seq,
        )
        return fault

    def answered(
        self,
        seq: int,
        status: int,
        body: bytes,
        *,
        is_replayed: bool,
        fault: ApiFault | None,
    ) -> None:
        """Write down what a request was answered."""
        is_error = status >= 400 and is_as_documented(fault)
        error = orjson.loads(body)["error"] if is_error else {}
        self._store.db.run(
            "UPDATE requests SET status = ?, replayed = ?, error_type = ?, error_code = ?, "
            "decline_code = ? WHERE seq = ?",
            status,
            is_replayed,
            *(error.get(name) for name in _TOLD),
            seq,
        )
