"""A Hermes agent's API of runs: its wire, and calls over it."""
