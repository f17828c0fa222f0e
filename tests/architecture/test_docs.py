"""The documents say what is true, and nothing in the tree says where it was made."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tree import ROOT, repository_files

# Spelled apart, so that this file does not hold what it looks for.
PRIVATE = re.compile(
    "|".join(
        [
            r"/(?:work|root|farm)/\w",
            r"pypi[.]" + r"org",
            r"python" + r"hosted[.]",
            r"registry[.]" + r"npmjs",
            r"npm" + r"js[.]com",
            r"deb[.]" + r"debian",
            r"index" + r"-url\s*=",
            r"artifact" + r"ory",
        ]
    )
)
TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".svg", ".json", ".cfg", ""}
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


def pages() -> list[Path]:
    """Every Markdown page."""
    return [path for path in repository_files() if path.suffix == ".md"]


def test_generated_pages_are_current() -> None:
    """`make docs` would change nothing."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate_docs.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_no_file_names_a_private_path_or_a_registry() -> None:
    """A clone builds anywhere: no download address, no path of the machine that wrote a file."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in repository_files()
        if path.suffix in TEXT
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if PRIVATE.search(line)
    ]
    assert found == []


def test_constraints_are_names_and_versions_only() -> None:
    """A pinned version says what, never where from."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []
    assert "textual==8.2.8" in lines


def test_links_between_pages_lead_somewhere() -> None:
    """A relative link names a file of the repository."""
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages()
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_pages_name_only_targets_that_make_has() -> None:
    """Every `make something` of the documents is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        (page.name, target)
        for page in pages()
        for target in re.findall(r"(?:^    |`)make ([a-z0-9-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {pair for pair in named if pair[1] not in targets} == set()


def shell_commands() -> list[str]:
    """Every `hermes-console ...` of the documents, with placeholders and flags left out."""
    found: set[str] = set()
    for page in pages():
        for line in re.findall(
            r"(?:^    (?:\$ )?|`)hermes-console ([^`\n#]+)", page.read_text(encoding="utf-8"), re.MULTILINE
        ):
            words = re.match(r"(?:[a-z][a-z-]*(?: |$))*", line.strip())
            if words and words.group().strip():
                found.add(words.group().strip())
    return sorted(found)


@pytest.mark.parametrize("command", shell_commands())
def test_shell_commands_of_the_documents_exist(command: str) -> None:
    """The program knows each command that a page tells a reader to type."""
    done = subprocess.run(
        [sys.executable, "-m", "console", *command.split()[:2], "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
