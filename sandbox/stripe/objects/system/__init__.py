"""Events, webhook endpoints and test clocks."""
