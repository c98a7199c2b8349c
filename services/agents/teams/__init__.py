"""Teams of agents: what their runs ask of each other."""
