"""Flags that many verbs have."""

import argparse


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
