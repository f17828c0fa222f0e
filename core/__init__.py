"""The core of hermes-console: everything that runs whether or not anyone looks.

`core.api` is the facade, `core.kernel` the composition root. Four domains
(gateway, relay, mailbox, agents) do not know each other; each says in its own
`ports.py` what it needs, and the kernel joins them. Nothing here imports
`console`, Textual or Rich.
"""

__version__ = "0.1.0"
