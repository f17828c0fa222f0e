"""The connections of a Hermes home that are there here too, and where their settings stand (pure)."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from core.config.text import KeyPath
from core.migration.hermes_home import mapping, word

Variable = Callable[[str], str]


class Facts(msgspec.Struct):
    """A connection there. missing: what it cannot be without, "" when all is set. secrets: by the name of the variable.

    required: of the new section, by path below it; optional: source, path and value of what may be set besides.
    """

    missing: str = ""
    secrets: dict[str, str] = {}
    required: dict[KeyPath, Any] = {}
    optional: list[tuple[str, KeyPath, Any]] = []


class Connection(msgspec.Struct, frozen=True):
    """A kind of connection. read: gives its facts, or None when it is not used there. note: what is different here."""

    platform: str
    prefix: str
    read: Callable[[Variable, Mapping[str, Any]], Facts | None]
    home_variable: str
    note: str = ""

    def facts(self, variable: Variable, section: Mapping[str, Any]) -> Facts | None:
        """What is known of it. section: of the configuration there."""
        found = self.read(variable, section)
        chats = self._common(variable, section)
        if found is None:
            return Facts(missing=f"its account ({self.prefix}_...)") if section or chats else None
        return msgspec.structs.replace(found, optional=[*found.optional, *chats])

    def _common(self, variable: Variable, section: Mapping[str, Any]) -> list[tuple[str, KeyPath, Any]]:
        found: list[tuple[str, KeyPath, Any]] = []
        for name, key in (
            ("ALLOWED_USERS", "allowed_users"),
            ("GROUP_ALLOWED_USERS", "group_allowed_users"),
            ("GROUP_ALLOWED_CHATS", "allowed_chats"),
        ):
            if ids := [item.strip() for item in variable(f"{self.prefix}_{name}").split(",") if item.strip()]:
                found.append((f".env: {self.prefix}_{name}", (key,), ids))
        if variable(f"{self.prefix}_ALLOW_ALL_USERS").lower() in {"true", "1", "yes"}:
            found.append((f".env: {self.prefix}_ALLOW_ALL_USERS", ("allow_all",), True))
        if (bots := variable(f"{self.prefix}_ALLOW_BOTS").lower()) in {"mentions", "all"}:
            found.append((f".env: {self.prefix}_ALLOW_BOTS", ("allow_bots",), bots))
        return found + self._home(variable, section)

    def _home(self, variable: Variable, section: Mapping[str, Any]) -> list[tuple[str, KeyPath, Any]]:
        own: Any = section.get("home_channel")
        chat, thread, source = word(own), "", f"config.yaml: platforms.{self.platform}.home_channel"
        if isinstance(own, dict):
            chat, thread = word(mapping(own).get("chat_id")), word(mapping(own).get("thread_id"))
        if from_env := variable(self.home_variable):
            chat, source = from_env, f".env: {self.home_variable}"
            thread = variable(f"{self.home_variable}_THREAD_ID")
        variable(f"{self.home_variable}_NAME")
        if not chat:
            return []
        found: list[tuple[str, KeyPath, Any]] = [(source, ("home_chat",), chat)]
        return [*found, (f"{source}, thread", ("home_thread",), thread)] if thread else found


def _telegram(variable: Variable, section: Mapping[str, Any]) -> Facts | None:
    token = variable("TELEGRAM_BOT_TOKEN") or word(section.get("token"))
    if not token:
        return None
    return Facts(secrets={"TELEGRAM_BOT_TOKEN": token}, required={("token",): "env:TELEGRAM_BOT_TOKEN"})


def _matrix(variable: Variable, section: Mapping[str, Any]) -> Facts | None:
    extra = mapping(section.get("extra"))
    server = variable("MATRIX_HOMESERVER") or word(extra.get("homeserver"))
    user = variable("MATRIX_USER_ID") or word(extra.get("user_id"))
    token = variable("MATRIX_ACCESS_TOKEN") or word(section.get("token"))
    password = variable("MATRIX_PASSWORD")
    device = variable("MATRIX_DEVICE_ID")
    if not (server or token or password):
        return None
    found = Facts(required={("homeserver",): server, ("user_id",): user})
    found.missing = "MATRIX_HOMESERVER" if not server else "MATRIX_USER_ID" if not user else ""
    if token:
        found.secrets = {"MATRIX_ACCESS_TOKEN": token}
        found.required["token",] = "env:MATRIX_ACCESS_TOKEN"
    elif password:
        found.secrets = {"MATRIX_PASSWORD": password}
        found.required["password",] = "env:MATRIX_PASSWORD"
        if device:
            found.optional = [(".env: MATRIX_DEVICE_ID", ("device",), device)]
    else:
        found.missing = "MATRIX_ACCESS_TOKEN"
    return found


_STARTTLS_PORT = 587


def _email(variable: Variable, section: Mapping[str, Any]) -> Facts | None:
    extra = mapping(section.get("extra"))
    names = ("EMAIL_ADDRESS", "EMAIL_IMAP_HOST", "EMAIL_SMTP_HOST", "EMAIL_PASSWORD")
    address, imap, smtp, password = (variable(name) or word(extra.get(name[6:].lower())) for name in names)
    if not (address or password):
        return None
    missing = next((name for name, value in zip(names, (address, imap, smtp, password), strict=True) if not value), "")
    required: dict[KeyPath, Any] = {
        ("address",): address,
        ("imap", "host"): imap,
        ("smtp", "host"): smtp,
        ("password",): "env:EMAIL_PASSWORD",
    }
    if (port := variable("EMAIL_IMAP_PORT")).isdecimal():
        required["imap", "port"] = int(port)
    # 587 is the default there, and 465 here.
    smtp_port = int(port) if (port := variable("EMAIL_SMTP_PORT")).isdecimal() else _STARTTLS_PORT
    required["smtp", "port"] = smtp_port
    if smtp_port == _STARTTLS_PORT:
        required["smtp", "security"] = "starttls"
    return Facts(missing=missing, secrets={"EMAIL_PASSWORD": password}, required=required)


CONNECTIONS: tuple[Connection, ...] = (
    Connection("telegram", "TELEGRAM", _telegram, "TELEGRAM_HOME_CHANNEL"),
    Connection("matrix", "MATRIX", _matrix, "MATRIX_HOME_ROOM"),
    Connection(
        "email",
        "EMAIL",
        _email,
        "EMAIL_HOME_ADDRESS",
        note="senders count only once your mail server has proved them: set authserv_id",
    ),
)
