"""The agent runtime: drives agents for sessions, one turn at a time, and asks the operator for them.

It knows nothing of platforms or chats: it is handed messages and hands back reports.
"""
