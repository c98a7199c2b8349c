"""What is owed: invoices, their lines, prorations and credit notes."""
