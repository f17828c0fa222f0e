"""What an empty console says: what belongs here, and the command that brings the first one."""

import shlex

from console import text
from console.mirror import Mirror

Fact = tuple[str, str, str]


def curl_lines(http_url: str, key_file: str) -> list[str]:
    """A request to paste into a shell. The key is read from its file and never shown; no line is long."""
    return [
        f"KEY=$(cat {shlex.quote(key_file)})",
        f"curl -sN {http_url}/v1/chat/completions \\",
        '  -H "Authorization: Bearer $KEY" \\',
        "  -H 'Content-Type: application/json' \\",
        """  -d '{"model":"default","messages":""",
        """       [{"role":"user","content":"hello"}]}'""",
    ]


def first_steps(mirror: Mirror) -> str:
    """What an empty list of sessions says."""
    health = mirror.health
    if health is None:
        return "The core is starting. Sessions appear here."
    lines = ["No sessions yet. N opens a chat here, in the console.", ""]
    if health.http_url:
        lines += ["Or from a second terminal:", ""]
        lines += [text.clean(line) for line in curl_lines(health.http_url, health.key_file)]
    else:
        lines.append("The HTTP endpoint is not up: 7 shows the platforms, :vitals the services.")
    return "\n".join(lines)


def first_step_fields(mirror: Mirror) -> list[Fact]:
    """The same for a pane of facts."""
    health = mirror.health
    if health is None or mirror.sessions or mirror.session_total:
        return []
    fields: list[Fact] = [
        ("-- first steps", "", ""),
        ("N", "opens a chat here, in the console; or from a second terminal:", "plain"),
    ]
    if health.http_url:
        lines = curl_lines(health.http_url, health.key_file)
        fields += [("shell" if not place else "", text.clean(line), "accent") for place, line in enumerate(lines)]
    else:
        fields.append(("http", "the endpoint is not up; :vitals shows the services", "needs"))
    return fields
