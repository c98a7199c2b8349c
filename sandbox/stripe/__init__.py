"""A stateful stand-in for Stripe's API, reached over HTTP by unchanged Stripe clients."""

API_VERSION = "2026-10-28.endive"
