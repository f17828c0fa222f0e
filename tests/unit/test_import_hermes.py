"""Taking over a Hermes home: shown before it is written, only read there, nothing twice, no secret in the open."""

import json
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.api.errors import ConfigError, InvalidInput
from core.api.processes import ImportItem, ImportView, Taken
from core.config import check, load
from core.home import prepare
from core.migration import import_hermes
from core.migration.writing import added
from core.platform_settings import EmailSettings, MatrixSettings, TelegramSettings
from core.vault import Vault
from tests.support.hermes_homes import SECRETS, approved, hermes_home


def bytes_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its bytes and the time of its last change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def items(view: ImportView, kind: str, verdict: Taken) -> list[ImportItem]:
    """What happens so to things of a kind."""
    return [item for item in view.items if item.kind == kind and item.verdict is verdict]


def targets(found: Sequence[ImportItem]) -> set[str]:
    """Where they go."""
    return {item.target for item in found}


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A Hermes home."""
    return hermes_home(tmp_path / "hermes")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of ours, new."""
    prepare(tmp_path / "home")
    return tmp_path / "home"


def test_a_look_beforehand_writes_nothing_anywhere(there: Path, tmp_path: Path) -> None:
    """Neither there nor here, where not even a folder is made."""
    before = bytes_of(there)
    view = import_hermes(tmp_path / "new", there, write=False)
    assert bytes_of(there) == before
    assert not (tmp_path / "new").exists()
    assert (view.is_written, view.written) == (False, ())


def test_what_is_taken_counts_and_nothing_changes_there(there: Path, home: Path) -> None:
    """Connections, lists, home chats, settings and jobs are in force; the comments of the file are there still."""
    before = bytes_of(there)
    comments = [line for line in (home / "config.yaml").read_text().splitlines() if line.lstrip().startswith("#")]
    import_hermes(home, there, write=True)
    assert bytes_of(there) == before
    settings = load(home, {}).settings
    telegram, email = settings.platforms["telegram"], settings.platforms["email"]
    assert isinstance(telegram, TelegramSettings)
    assert isinstance(email, EmailSettings)
    assert telegram.allowed_users == ("11", "22")
    assert (telegram.home_chat, telegram.home_thread) == ("-100200", "17")
    assert (email.imap.host, email.smtp.host, email.smtp.port, email.smtp.security) == (
        "imap.example.org",
        "smtp.example.org",
        587,
        "starttls",
    )
    assert {"local", "api", "hooks"} <= settings.platforms.keys(), "what is there by default stays"
    assert settings.access.allowed_users == ("*:77",)
    assert settings.access.unauthorised == "ignore"
    assert (settings.sessions.mode.value, settings.sessions.per_user_in_threads) == ("steer", True)
    assert (settings.sessions.reset.mode.value, settings.sessions.reset.idle_s) == ("both", 5400.0)
    assert settings.core.drain_s == 45.0
    after = (home / "config.yaml").read_text().splitlines()
    assert [line for line in after if line.lstrip().startswith("#")] == comments


def test_jobs_are_taken_with_zone_and_target(there: Path, home: Path) -> None:
    """What runs a script, is paused, or has a schedule that cannot be, stays there with the reason."""
    view = import_hermes(home, there, write=True)
    jobs = load(home, {}).settings.cron
    assert {(name, job.schedule, job.deliver, job.timezone) for name, job in jobs.items()} == {
        ("job-1", "0 9 * * 1", "telegram:-100:17", "Europe/Vienna"),
        ("job-2", "every 30m", "telegram:11", "Europe/Vienna"),
        ("job-3", "2030-01-01T10:00:00+01:00", "", "Europe/Vienna"),
    }
    assert [item.why for item in items(view, "job", Taken.SKIP)][:2] == [
        "it runs a script, and no agent",
        "it is paused there",
    ]
    assert len(items(view, "job", Taken.SKIP)) == 3
    assert any("matrix:!abc:example.org" in item.why for item in items(view, "job", Taken.CHANGE))


def test_no_secret_is_in_the_configuration_or_in_what_is_shown(there: Path, home: Path) -> None:
    """They go to `.env`, which is its owner's alone; those that nothing needs stay there."""
    view = import_hermes(home, there, write=True)
    shown = str(view)
    config = (home / "config.yaml").read_text()
    assert [secret for secret in SECRETS if secret in config or secret in shown] == []
    assert stat.S_IMODE((home / ".env").stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "config.yaml").stat().st_mode) == 0o600
    vault = Vault.of(load(home, {}).settings, home)
    assert vault.get("env:TELEGRAM_BOT_TOKEN").reveal() == "123:secret-token"
    assert vault.get("env:EMAIL_PASSWORD").reveal() == 'secret#pass"word'
    assert "OPENAI_API_KEY" not in (home / ".env").read_text()


def test_a_second_time_takes_nothing_new(there: Path, home: Path) -> None:
    """Everything is here already, and no byte changes. Pairings are left to the core."""
    first = import_hermes(home, there, write=True)
    before = bytes_of(home)
    second = import_hermes(home, there, write=True)
    assert bytes_of(home) == before
    assert second.written == ()
    again = [item for item in second.items if item.verdict in {Taken.TAKE, Taken.CHANGE} and item.kind != "pairing"]
    assert again == []
    assert len(second.items) == len(first.items)


def test_what_an_operator_chose_here_stands(there: Path, home: Path) -> None:
    """A key that is set in the file, a secret that is in `.env`."""
    (home / "config.yaml").write_text("sessions:\n  mode: collect\ncore: {drain_s: 1}\n", encoding="utf-8")
    (home / ".env").write_text("TELEGRAM_BOT_TOKEN=mine", encoding="utf-8")
    view = import_hermes(home, there, write=True)
    settings = load(home, {}).settings
    assert (settings.sessions.mode.value, settings.core.drain_s) == ("collect", 1.0)
    assert (home / ".env").read_text().startswith("TELEGRAM_BOT_TOKEN=mine\nEMAIL_PASSWORD=")
    assert any(item.why == "another value is set here" for item in items(view, "setting", Taken.SKIP))


def test_senders_are_taken_once_and_only_for_this_home(there: Path, home: Path) -> None:
    """The new folder wins over the old one; those of a profile count for it alone; codes are not taken."""
    view = import_hermes(home, there, write=False)
    assert {(item.platform, item.sender_id, item.sender_name) for item in view.pairings} == {
        ("telegram", "u111", "Ana"),
        ("telegram", "u444", "Legacy"),
    }
    skipped = {item.source: item.why for item in items(view, "pairing", Taken.SKIP)}
    assert "profile night alone" in skipped["profiles/night/pairing/telegram-approved.json: u222"]
    assert "no connection is called discord" in skipped["pairing/discord-approved.json: u555"]
    assert "1 requests that wait" in skipped


def test_a_profile_is_a_home_of_its_own(there: Path, home: Path) -> None:
    """Its senders come with it, and only they."""
    profile = there / "profiles" / "night"
    (profile / ".env").write_text("TELEGRAM_BOT_TOKEN=t\n", encoding="utf-8")
    view = import_hermes(home, profile, write=False)
    assert [item.sender_id for item in view.pairings] == ["u222"]


def test_damaged_files_are_named_and_the_rest_is_taken(there: Path, home: Path) -> None:
    """Broken YAML and JSON: their words, which may be secrets, are not repeated."""
    (there / "config.yaml").write_text("a: [hunter2", encoding="utf-8")
    (there / "platforms" / "pairing" / "telegram-approved.json").write_text('{"hunter2', encoding="utf-8")
    view = import_hermes(home, there, write=True)
    assert len(view.problems) == 2
    assert "hunter2" not in str(view)
    assert isinstance(load(home, {}).settings.platforms["telegram"], TelegramSettings)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    """With the folder and what to name instead."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="no Hermes home"):
        import_hermes(tmp_path / "home", tmp_path / "empty", write=True)
    assert not (tmp_path / "home").exists()


def test_nothing_is_added_to_a_configuration_that_cannot_be_used(there: Path, home: Path) -> None:
    """It is mended first; not even a secret is written."""
    (home / "config.yaml").write_text("htpp: {}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="htpp"):
        import_hermes(home, there, write=True)
    assert not (home / ".env").exists()


def test_a_section_on_one_line_is_refused_whole(there: Path, home: Path) -> None:
    """Nothing can be added to it; nothing is half written."""
    text = "platforms: {local: {kind: loopback}}\n"
    (home / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="on one line") as raised:
        import_hermes(home, there, write=True)
    assert raised.value.facts["line"] == 1
    assert (home / "config.yaml").read_text() == text
    assert not (home / ".env").exists()


def test_the_file_of_before_is_kept_beside(there: Path, home: Path) -> None:
    """Under a name that is not used yet."""
    before = (home / "config.yaml").read_text()
    import_hermes(home, there, write=True)
    assert (home / "config.yaml.before-import-1").read_text() == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment",
        "platforms:\n",
        "platforms:\n    tg:\n        kind: loopback\n# end\n",
        "platforms:\n  # first\n  tg:\n    kind: loopback\nhttp:\n  port: 1\n",
    ],
)
def test_keys_are_added_below_what_is_there(text: str, tmp_path: Path) -> None:
    """Whatever the indentation; every line stays; the result can be used."""
    values = {
        ("platforms", "m", "kind"): "matrix",
        ("platforms", "m", "homeserver"): "https://x.example.org",
        ("platforms", "m", "user_id"): "@b:x.example.org",
        ("platforms", "m", "token"): "env:T",
        ("sessions", "reset", "mode"): "idle",
        ("platforms", "m", "home_chat"): 'a "quoted": #text\n',
    }
    after = added(text, values)
    assert [line for line in text.splitlines() if line not in after.splitlines()] == []
    (tmp_path / "config.yaml").write_text(after, encoding="utf-8")
    config, errors = check(tmp_path, {})
    assert errors == ()
    assert config is not None
    matrix = config.settings.platforms["m"]
    assert isinstance(matrix, MatrixSettings)
    assert matrix.home_chat == 'a "quoted": #text\n'


def test_matrix_is_taken_with_a_token_or_a_password(home: Path, tmp_path: Path) -> None:
    """Without its user it cannot be, and that is said."""
    there = tmp_path / "hermes"
    there.mkdir()
    common = "MATRIX_HOMESERVER=https://x.example.org\nMATRIX_PASSWORD=p\nMATRIX_HOME_ROOM=!a:x.example.org\n"
    (there / ".env").write_text(common, encoding="utf-8")
    view = import_hermes(home, there, write=False)
    assert [item.why for item in items(view, "connection", Taken.SKIP)] == ["MATRIX_USER_ID is not set there"]
    (there / ".env").write_text(common + "MATRIX_USER_ID=@b:x.example.org\n", encoding="utf-8")
    approved(there / "pairing", "matrix", **{"@ana:x.example.org": "Ana"})
    view = import_hermes(home, there, write=True)
    matrix = load(home, {}).settings.platforms["matrix"]
    assert isinstance(matrix, MatrixSettings)
    assert (matrix.password, matrix.home_chat) == ("env:MATRIX_PASSWORD", "!a:x.example.org")
    assert [item.sender_id for item in view.pairings] == ["@ana:x.example.org"]


def test_a_list_without_its_connection_is_told(home: Path, tmp_path: Path) -> None:
    """Nothing is left out in silence."""
    there = tmp_path / "hermes"
    there.mkdir()
    (there / ".env").write_text("TELEGRAM_ALLOWED_USERS=1\n", encoding="utf-8")
    view = import_hermes(home, there, write=False)
    assert [item.source for item in items(view, "connection", Taken.SKIP)] == ["platforms.telegram"]
    json.dumps([item.why for item in view.items])


def test_what_cannot_be_used_here_is_left_and_the_rest_is_taken(there: Path, home: Path) -> None:
    """A port that is none, a job without a name: shown before with the reason, and in the way of nothing else."""
    with (there / ".env").open("a", encoding="utf-8") as stream:
        stream.write("EMAIL_SMTP_PORT=99999\n")
    (there / "cron" / "jobs.json").write_text(
        json.dumps({"jobs": [{"id": "a/b", "prompt": "x", "schedule": {"kind": "cron", "expr": "0 9 * * *"}}]}),
        encoding="utf-8",
    )
    shown = import_hermes(home, there, write=False)
    view = import_hermes(home, there, write=True)
    assert (shown.items, shown.problems) == (view.items, ())
    (email,) = [item for item in view.items if item.kind == "connection" and "email" in item.source]
    assert (email.verdict, email.target) == (Taken.SKIP, "")
    assert "99999" in email.why
    (job,) = [item for item in view.items if item.kind == "job"]
    assert (job.verdict, job.target) == (Taken.SKIP, "")
    assert "job-a/b" in job.why
    settings = load(home, {}).settings
    assert "email" not in settings.platforms
    assert isinstance(settings.platforms["telegram"], TelegramSettings)
    assert "EMAIL_PASSWORD" not in (home / ".env").read_text()


def test_that_nothing_can_be_added_is_said_before(there: Path, home: Path) -> None:
    """A section on one line is a problem of the look beforehand, too."""
    (home / "config.yaml").write_text("platforms: {local: {kind: loopback}}\n", encoding="utf-8")
    view = import_hermes(home, there, write=False)
    assert any("on one line" in problem for problem in view.problems)


def test_a_job_that_ends_by_itself_there_is_not_made_endless(there: Path, home: Path) -> None:
    """What else of a job has no place here is said."""
    every_day = {"kind": "cron", "expr": "0 9 * * *"}
    jobs = [
        {"id": "1", "name": "thrice", "prompt": "x", "schedule": every_day, "repeat": {"times": 3, "completed": 1}},
        {"id": "2", "name": "ever", "prompt": "x", "schedule": every_day, "repeat": {"times": None}, "model": "m"},
        {
            "id": "3",
            "name": "once",
            "prompt": "x",
            "schedule": {"kind": "once", "run_at": "2090-01-01T10:00:00"},
            "repeat": {"times": 1},
        },
    ]
    (there / "cron" / "jobs.json").write_text(json.dumps({"jobs": jobs}), encoding="utf-8")
    view = import_hermes(home, there, write=True)
    assert set(load(home, {}).settings.cron) == {"ever", "once"}
    (left,) = items(view, "job", Taken.SKIP)
    assert "3 times" in left.why
    (changed,) = items(view, "job", Taken.CHANGE)
    assert changed.why == "without its model"


def test_another_secret_of_that_name_stays_and_is_told(there: Path, home: Path) -> None:
    """It is not said to be here already."""
    (home / ".env").write_text("TELEGRAM_BOT_TOKEN=mine\n", encoding="utf-8")
    view = import_hermes(home, there, write=True)
    assert ".env: TELEGRAM_BOT_TOKEN" in targets(items(view, "secret", Taken.SKIP))
    again = import_hermes(home, there, write=True)
    assert ".env: EMAIL_PASSWORD" in targets(items(again, "secret", Taken.HAVE))


def test_a_home_that_cannot_be_read_is_refused_with_the_reason(
    there: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a service user, for one."""

    def denied(self: Path) -> object:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(InvalidInput, match="Permission denied"):
        import_hermes(home, there, write=True)


def test_an_open_quote_in_our_env_swallows_no_secret(there: Path, home: Path) -> None:
    """Nothing is written; the line is named."""
    (home / ".env").write_text('A="never closed\n', encoding="utf-8")
    before = bytes_of(home)
    with pytest.raises(ConfigError, match=r"\.env:1: A has a quote that is never closed"):
        import_hermes(home, there, write=True)
    assert bytes_of(home) == before
