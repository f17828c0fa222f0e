"""Messages from bot to bot: bound to chats, kept in a ledger, sent through breakers, taken once each.

It knows neither platforms nor agents nor mailboxes; what it needs of them stands in ports.py and core.letters.
"""
