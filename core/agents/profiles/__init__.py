"""Agents as they are written down, changed and paused."""
