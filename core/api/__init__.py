"""The facade: five words (`base`), errors, the port, and one module of vocabulary for each noun.

Import the noun: `from core.api import sessions`. Nothing here imports anything else of ours.
"""
