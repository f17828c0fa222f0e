"""The mailbox core: durable queues with leases, order by sender, dead letters; agents that call and watch each other.

`queue` and the modules it imports decide and know neither clock nor store; `mailbox` and
`mailboxes` do; `docs/concepts/mailbox.md` says what is promised and what is not.
"""
