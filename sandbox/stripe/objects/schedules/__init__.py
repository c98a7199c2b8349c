"""Subscriptions that follow a plan of phases."""
