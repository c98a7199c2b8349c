"""What products look like, and how one is made."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.session import Object, Session, merged, new_id

TEXTS = ("description", "name", "statement_descriptor", "tax_code", "unit_label", "url")


def make(session: Session, params: dict[str, Any]) -> Object:
    """Create a product.

    Raises:
        ApiError: If its id is taken.
    """
    if params.get("id") and session.store.get(params["id"]):
        raise errors.invalid_request(
            "Product already exists.", code="resource_already_exists", param="id"
        )
    body: Object = {
        "id": params.get("id") or new_id("prod"),
        "object": "product",
        "active": params.get("active", True),
        "created": session.now,
        "default_price": None,
        "images": params.get("images", []),
        "livemode": False,
        "marketing_features": [],
        "metadata": merged({}, params.get("metadata")),
        "package_dimensions": None,
        "shippable": params.get("shippable"),
        "tax_details": None,
        "type": "service",
        "updated": session.now,
    }
    body |= {name: params.get(name) for name in TEXTS}
    return session.create(body, event="product.created")
