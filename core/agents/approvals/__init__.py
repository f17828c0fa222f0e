"""Decisions that agents ask for, and what was decided for good."""
