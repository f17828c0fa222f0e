"""The gateway: messages from platforms in, sessions kept in order, answers back out.

It knows nothing of how an agent is driven; `ports.Agents` says what it needs of one.
"""
