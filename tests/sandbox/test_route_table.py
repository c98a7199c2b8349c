"""The table of routes says what is there."""

from sandbox.stripe.params import Group, Many, Text
from tests.sandbox import route_table


def test_the_table_of_routes_is_up_to_date() -> None:
    assert route_table.TABLE.read_text() == route_table.render(), (
        "python -m tests.sandbox.route_table writes it anew"
    )


def test_what_is_missing_is_named_at_every_depth() -> None:
    document = {
        "paths": {
            "/v1/events": {"get": {"parameters": [_query("types"), _query("mood")]}},
            "/v1/events/{id}": {"get": {}},
            "/v1/invoices/{invoice}/pay": {"put": {}},
            "/v1/issuing/cards": {"get": {}},
        }
    }
    found = [str(row) for row in route_table.rows(document) if not row.is_newer]
    assert found == [
        "| `GET /v1/events` | partly | `mood` |",
        "| `GET /v1/events/{id}` | done |  |",
        "| `PUT /v1/invoices/{invoice}/pay` | not done |  |",
    ]
    taken = Group({"items": Many(Group({"price": Text()})), "name": Text()})
    wanted: route_table.Tree = {
        "items": {"price": {}, "price_data": {"currency": {}}},
        "name": {},
        "phases": {},
    }
    told = route_table._told(wanted, taken)
    assert told == "`items[price_data]`, `phases`"
    assert (
        route_table._told({"items": {name: {} for name in "abcdefghi"}}, taken) == "`items[9 more]`"
    )


def _query(name: str) -> dict[str, object]:
    return {"name": name, "in": "query", "schema": {"type": "string"}}
