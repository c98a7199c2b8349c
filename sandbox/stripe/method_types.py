"""Types of payment methods that can be asked for."""

TYPES = ("card", "cashapp", "link", "sepa_debit", "us_bank_account")
"""What an intent can be told to take; of these only cards are compatible with this account."""
