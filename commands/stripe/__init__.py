"""Commands that set up and check the Stripe account."""
