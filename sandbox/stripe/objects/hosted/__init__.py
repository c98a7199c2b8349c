"""Pages that Stripe hosts: Checkout and the billing portal."""
