"""Reads the text of HTML and PDF files, in a child process with limits."""
