"""Webhooks that go out tell the discount and the change that waits, too."""

from collections.abc import Sequence

from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_COLUMNS = (
    *("subscription_id", "user_id", "plan_id", "quantity", "is_written_off", "trial_end"),
    *("current_period_start", "current_period_end", "cancel_at", "canceled_at"),
    *("grace_ends_at", "resume_at", "latest_invoice_id", "stripe_subscription_id"),
    *("stripe_price_id", "replaces_subscription_id"),
)
_STATUS = "subscription_status"
_TERMS = ("discount_data", "scheduled_change_data")
# Columns are told by their names in the API: without the ending of a column of JSON.
_TELL_ROW = """
CREATE OR REPLACE FUNCTION tell_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    family text := TG_ARGV[0];
    status_name text := TG_ARGV[1];
    first_status text := TG_ARGV[2];
    told text[] := string_to_array(TG_ARGV[3], ',');
    after jsonb;
    before jsonb;
    facts jsonb;
    resource uuid;
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_endpoints WHERE is_active) THEN
        RETURN NULL;
    END IF;
    after := to_jsonb(NEW);
    resource := (after ->> (family || '_id'))::uuid;
    SELECT jsonb_object_agg({key}, after -> name) INTO facts FROM unnest(told) AS name;
    IF TG_OP = 'INSERT' THEN
        PERFORM tell_event(family || '.created', resource, facts);
        IF after ->> status_name <> first_status THEN
            PERFORM tell_event(family || '.' || (after ->> status_name), resource, facts);
        END IF;
        RETURN NULL;
    END IF;
    before := to_jsonb(OLD);
    SELECT facts || jsonb_build_object('previous', jsonb_object_agg({key}, before -> name))
    INTO facts FROM unnest(told) AS name WHERE before -> name IS DISTINCT FROM after -> name;
    IF before -> status_name IS DISTINCT FROM after -> status_name THEN
        PERFORM tell_event(family || '.' || (after ->> status_name), resource, facts);
    ELSE
        PERFORM tell_event(family || '.updated', resource, facts);
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Replace a function and two triggers, which rewrite nothing."""
    op.execute(_TELL_ROW.format(key="regexp_replace(name, '_data$', '')"))
    _replace_triggers((*_COLUMNS, *_TERMS, _STATUS))


def downgrade() -> None:
    """Tell what was told before."""
    _replace_triggers((*_COLUMNS, _STATUS))
    op.execute(_TELL_ROW.format(key="name"))


def _replace_triggers(columns: Sequence[str]) -> None:
    call = f"tell_row('subscription', '{_STATUS}', 'incomplete', '{','.join(columns)}')"
    before, after = (", ".join(f"{row}.{name}" for name in columns) for row in ("OLD", "NEW"))
    head, each = "CREATE OR REPLACE TRIGGER tell_subscription", "FOR EACH ROW"
    op.execute(f"{head}_insert AFTER INSERT ON subscriptions {each} EXECUTE FUNCTION {call}")
    op.execute(
        f"{head}_update AFTER UPDATE OF {', '.join(columns)} ON subscriptions {each}"
        f" WHEN (ROW({before}) IS DISTINCT FROM ROW({after})) EXECUTE FUNCTION {call}"
    )
