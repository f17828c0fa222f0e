"""The bot-to-bot relay. Nothing is here yet; the gateway and the agents stand without it."""
