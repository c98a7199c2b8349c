"""3-D Secure: an intent waits until its customer has proved who he is."""

from sandbox.stripe.session import Object, Session, new_id


def ask(session: Session, intent: Object, method: Object) -> None:
    """Let a payment or setup intent wait for its customer."""
    kind = intent["object"]
    problem = "last_payment_error" if kind == "payment_intent" else "last_setup_error"
    session.change(
        intent,
        {
            "status": "requires_action",
            problem: None,
            "next_action": _next_action(session, intent),
            "payment_method": method["id"],
        },
        is_announced=False,
    )
    session.emit(f"{kind}.requires_action", intent)


def _next_action(session: Session, intent: Object) -> Object:
    """Return where to go, or without a way back what Stripe's script in the page works with."""
    url = f"{session.base_url}/_sandbox/3ds/{intent['id']}"
    if intent["_return_url"]:
        return {
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": intent["_return_url"], "url": url},
        }
    return {
        "type": "use_stripe_sdk",
        "use_stripe_sdk": {
            "type": "three_d_secure_redirect",
            "source": new_id("src"),
            "stripe_js": url,
        },
    }
