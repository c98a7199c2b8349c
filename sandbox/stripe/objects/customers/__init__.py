"""Who pays, and the cards they keep."""
