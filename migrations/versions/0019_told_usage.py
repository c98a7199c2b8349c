"""Webhooks that go out tell when 80 or 100 percent of a limit are used."""

from collections.abc import Sequence

from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TELL_ALERT = """
CREATE FUNCTION tell_usage_alert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_event('usage.alert', NEW.user_id, to_jsonb(NEW) - 'created_at');
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Add a trigger, which rewrites nothing."""
    op.execute(_TELL_ALERT)
    op.execute(
        "CREATE TRIGGER tell_usage_alert AFTER INSERT ON usage_alerts"
        " FOR EACH ROW EXECUTE FUNCTION tell_usage_alert()"
    )


def downgrade() -> None:
    """Take it away again."""
    op.execute("DROP TRIGGER tell_usage_alert ON usage_alerts")
    op.execute("DROP FUNCTION tell_usage_alert()")
