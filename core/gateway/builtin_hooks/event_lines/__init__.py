"""Writes each event as a line of JSON."""
