"""Agents that play a scenario, for demos and tests of the rest."""
