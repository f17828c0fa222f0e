"""Adapters of this domain; each is loaded by name, and only when it is used."""
