"""The referee of billing: lifecycles among all that Stripe can answer, checked from outside.

It shares no code with the product: what happened is read from the stand-in's ledger and log, from
Stripe's objects, from the mail sink and from the public API.
"""
