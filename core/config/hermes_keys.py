"""The keys that operators know from a Hermes gateway, and where their meaning is here (pure)."""

from typing import NamedTuple


class Known(NamedTuple):
    """A key there. ours: the key here, "" when there is none; note: what is different, or why there is none."""

    ours: str
    note: str = ""


HERMES_KEYS: dict[str, Known] = {
    "agent.max_turns": Known("", "limits are the agent's own, in agents.NAME.policy"),
    "agent.gateway_timeout": Known("", "the deadline of a run is the agent's: limits in agents/NAME.yaml"),
    "agent.gateway_timeout_warning": Known("", "the screen shows what stands still, with its age"),
    "agent.gateway_notify_interval": Known("", "progress is shown on screen, and by typing signs in chats"),
    "agent.restart_drain_timeout": Known("core.drain_s", "seconds that runs get at a stop"),
    "agent.clarify_timeout": Known("core.approval_limit_s", "questions and approvals expire after it"),
    "agent.gateway_auto_continue_freshness": Known("sessions.max_attempts", "what was cut off runs again, so often"),
    "display.busy_input_mode": Known("sessions.mode", "queue, followup, steer, interrupt or collect"),
    "display.busy_text_mode": Known("sessions.mode", "queue, followup, steer, interrupt or collect"),
    "display.busy_ack_enabled": Known("", "what became of a message is on screen"),
    "display.busy_steer_ack_enabled": Known("", "what became of a message is on screen"),
    "display.background_process_notifications": Known("", "not there"),
    "display.tool_progress_command": Known("", "not there"),
    "display.platforms": Known("platforms", "each connection has its own settings"),
    "session_reset.mode": Known("sessions.reset.mode", "idle, daily, both or none"),
    "session_reset.idle_minutes": Known("sessions.reset.idle_s", "in seconds, that is times 60"),
    "session_reset.at_hour": Known("sessions.reset.at_hour"),
    "session_reset.notify": Known("sessions.reset.notify"),
    "group_sessions_per_user": Known("sessions.per_user_in_groups"),
    "thread_sessions_per_user": Known("sessions.per_user_in_threads"),
    "max_concurrent_sessions": Known("", "agents have lanes: pool in agents/NAME.yaml"),
    "multiplex_profiles": Known("", "each profile is a home of its own: --profile NAME"),
    "profile_routes": Known("", "each profile is a home of its own: --profile NAME"),
    "unauthorized_dm_behavior": Known("access.unauthorised", "pair or ignore"),
    "streaming": Known("", "streaming needs no settings"),
    "quick_commands": Known("", "not there"),
    "reset_triggers": Known("", "/new and /reset"),
    "always_log_local": Known("", "everything is in the journal"),
    "filter_silence_narration": Known("", "not there"),
    "write_sessions_json": Known("", "there is one store"),
    "session_store_max_age_days": Known("core.journal_keep", "a count of events and not of days"),
    "gateway.delivery_ledger": Known("deliveries", "deliveries are always kept until they are settled"),
    "gateway.platform_connect_timeout": Known("", "fixed; a connection is tried again for ever"),
    "gateway.restart_loop_guard": Known("", "three failed starts end in safe mode"),
    "gateway.respawn_storm": Known("", "three failed starts end in safe mode"),
    "gateway.systemd_watchdog_seconds": Known("", "`gateway status` shows a core that hangs"),
    "gateway.scale_to_zero": Known("", "not there"),
    "gateway.max_inbound_media_bytes": Known("files.limit_bytes", "of one file, in and out"),
    "gateway.message_timestamps": Known("", "not there"),
    "gateway.strict": Known("", "the configuration is always strict"),
    "approvals.timeout": Known("core.approval_limit_s"),
    "approvals.mode": Known("", "what needs approval is the agent's policy: agents/NAME.yaml"),
    "approvals.cron_mode": Known("", "what needs approval is the agent's policy: agents/NAME.yaml"),
    "approvals.mcp_reload_confirm": Known("", "not there"),
    "approvals.destructive_slash_confirm": Known("", "not there"),
    "approvals.deny": Known("", "what is denied is the agent's policy: agents/NAME.yaml"),
    "command_allowlist": Known("", "what is allowed is the agent's policy: agents/NAME.yaml"),
    "compression": Known("", "when to compact is the agent's: agents/NAME.yaml"),
    "sessions.auto_prune": Known("core.journal_keep", "a count of events"),
    "sessions.retention_days": Known("core.journal_keep", "a count of events"),
    "sessions.vacuum_after_prune": Known("", "the store gives back what it does not need"),
    "sessions.min_interval_hours": Known("core.journal_keep", "a count of events"),
    "cron.wrap_response": Known("", "answers of jobs are sent as they are"),
    "cron.mirror_delivery": Known("", "answers of jobs are not mirrored"),
    "privacy.redact_pii": Known("", "secrets are always masked"),
    "security.redact_secrets": Known("", "secrets are always masked"),
    "platforms.*.enabled": Known("platforms", "a connection that is named is on; remove its entry to switch it off"),
    "platforms.*.token": Known("platforms.NAME.token", "as env:NAME or file:PATH, never the token itself"),
    "platforms.*.home_channel": Known("platforms.NAME.home_chat"),
    "platforms.*.extra": Known("platforms.NAME", "its keys stand directly below the connection"),
    "model": Known("agents.NAME.model"),
    "terminal": Known("", "tools and their sandbox are the agent's: agents/NAME.yaml"),
}


def hint(path: tuple[str, ...], value: object) -> str:
    """What an operator who knows the other gateway is told about a key that is not known here; "" when it is none of
    theirs either.
    """
    if (found := _known(path)) is not None:
        return f"a Hermes key that {_words(found)}"
    if not isinstance(value, dict):
        return ""
    names: list[object] = list(value)  # pyright: ignore[reportUnknownArgumentType]
    told = {name: item for name in map(str, names) if (item := _known((*path, name))) is not None}
    return _section(".".join(path), told)


def _section(section: str, told: dict[str, Known]) -> str:
    if not told:
        return ""
    return "a section of Hermes: " + "; ".join(f"{section}.{name} {_words(item)}" for name, item in told.items())


def _words(found: Known) -> str:
    if not found.ours:
        return f"has no key here: {found.note}"
    return f"is {found.ours} here" + (f": {found.note}" if found.note else "")


def _known(path: tuple[str, ...]) -> Known | None:
    found = HERMES_KEYS.get(".".join(path))
    if found is None and len(path) > 2 and path[0] == "platforms":  # noqa: PLR2004 - platforms, a name, a key
        found = HERMES_KEYS.get(".".join(("platforms", "*", *path[2:])))
    return found
