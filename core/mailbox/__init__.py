"""The mailbox core. Nothing is here yet; sessions queue in the gateway's own rows until it is."""
