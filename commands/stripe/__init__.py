"""Commands about Stripe's side of the product."""
