"""Stores: one protocol, several media; `open_store` picks one by its URL."""
