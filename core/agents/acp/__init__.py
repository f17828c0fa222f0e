"""Agents that speak the Agent Client Protocol: the wire, the session, what they report and ask."""
