"""What hermes-agent 0.19.0 needs to decide about one message, with many paired senders. Prints one JSON line.

Runs inside the environment that peer_hermes makes, in a throw-away home, and talks to nobody.
"""

import argparse
import json
import logging
import os
import time

PLATFORM = "telegram"


def main() -> None:
    """Seconds for one decision, the median of the rounds."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--paired", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=30)
    chosen = options.parse_args()
    logging.disable(logging.CRITICAL)
    from gateway.authz_mixin import GatewayAuthorizationMixin
    from gateway.config import Platform
    from gateway.pairing import PairingStore
    from gateway.session import SessionSource

    store = PairingStore()
    known = {str(number): {"user_name": f"user {number}", "approved_at": 1.0} for number in range(chosen.paired)}
    store._save_json(store._approved_path(PLATFORM), known)
    runner = GatewayAuthorizationMixin()
    runner.adapters, runner.config, runner.pairing_store = {}, None, store
    source = SessionSource(platform=Platform(PLATFORM), chat_id="5", chat_type="dm", user_id=str(chosen.paired - 1))
    stranger = SessionSource(platform=Platform(PLATFORM), chat_id="6", chat_type="dm", user_id="nobody")
    assert runner._is_user_authorized(source)
    assert not runner._is_user_authorized(stranger)
    taken = []
    for _ in range(chosen.rounds):
        began = time.perf_counter()
        runner._is_user_authorized(source)
        taken.append(time.perf_counter() - began)
    print(json.dumps({"decision_s": sorted(taken)[len(taken) // 2]}), flush=True)
    # The peer leaves threads behind that would keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()
