"""What a service manager is given to run a core: a unit of systemd, or a property list of launchd (pure)."""

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

_STOP_MARGIN_S = 30


class Service(NamedTuple):
    """A core as a service. name: of the service. user: who it runs as, "" for whoever owns the manager.

    argv: its command line, in words. drain_s: time that runs get at a stop.
    """

    name: str
    title: str
    argv: Sequence[str]
    log: str
    user: str = ""
    drain_s: float = 10.0


def service_name(profile: str) -> str:
    """What the service of a profile is called; "" is the default home."""
    return f"hermes-console-{profile}" if profile else "hermes-console"


def systemd_unit(service: Service) -> str:
    """A unit. A core that fails is started again; after three failed starts the next is in safe mode, and stays."""
    lines = [
        "[Unit]",
        f"Description={_plain(service.title)}",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={' '.join(_quoted(word) for word in service.argv)}",
        "Restart=on-failure",
        "RestartSec=5",
        "KillMode=mixed",
        f"TimeoutStopSec={int(service.drain_s) + _STOP_MARGIN_S}",
        *([f"User={service.user}"] if service.user else []),
        "UMask=0077",
        "",
        "[Install]",
        f"WantedBy={'multi-user.target' if service.user else 'default.target'}",
    ]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """A word of a command line: systemd expands % and $, and takes quotes and backslashes as C does."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return text if text and all(char.isalnum() or char in "/._-=:@+,%$" for char in text) else f'"{text}"'


def launchd_plist(service: Service) -> str:
    """A property list of an agent of launchd."""
    words = "\n".join(f"    <string>{escape(word)}</string>" for word in service.argv)
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{escape(service.name)}</string>
  <key>ProgramArguments</key>
  <array>
{words}
  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ThrottleInterval</key>
  <integer>5</integer>
  <key>ExitTimeOut</key>
  <integer>{int(service.drain_s) + _STOP_MARGIN_S}</integer>
  <key>Umask</key>
  <integer>63</integer>
  <key>StandardOutPath</key>
  <string>{escape(service.log)}</string>
  <key>StandardErrorPath</key>
  <string>{escape(service.log)}</string>
</dict>
</plist>
"""
