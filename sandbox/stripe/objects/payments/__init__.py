"""Money that moves: intents, charges, refunds, disputes, the balance."""
