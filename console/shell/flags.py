"""Flags that many verbs have."""

import argparse
import math


def add_nothing(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""
    del parser


def add_session(parser: argparse.ArgumentParser) -> None:
    """Which session."""
    parser.add_argument("key", metavar="KEY", help="id of the session, as `sessions list` prints it")


def add_reason(parser: argparse.ArgumentParser) -> None:
    """Why it is done."""
    parser.add_argument("--reason", default="", help="kept in the journal")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """To lose something without being asked."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def add_wait(parser: argparse.ArgumentParser) -> None:
    """To stay until there is an answer."""
    parser.add_argument("--wait", action="store_true", help="wait for the answer and print it")
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="with --wait: give up after that")


def _seconds(words: str) -> float:
    try:
        found = float(words)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"{words} is no number of seconds; write 30 or 2.5")
    return found
