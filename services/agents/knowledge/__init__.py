"""What agents look up in documents, and remember of their users."""
