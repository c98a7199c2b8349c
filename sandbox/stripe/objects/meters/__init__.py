"""What is billed by use."""
