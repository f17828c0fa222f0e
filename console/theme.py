"""Colours: four themes and, for each, the Rich style of every tone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from rich.style import Style
from textual.theme import BUILTIN_THEMES, Theme

DARK, LIGHT, CONTRAST, ANSI = "hermes-dark", "hermes-light", "hermes-contrast", "hermes-ansi"


def _theme(name: str, colours: Mapping[str, str], *, dark: bool) -> Theme:
    return Theme(
        name=name,
        dark=dark,
        primary=colours["accent"],
        secondary=colours["quiet"],
        accent=colours["accent"],
        warning=colours["needs"],
        error=colours["failing"],
        success=colours["well"],
        foreground=colours["plain"],
        background=colours["ground"],
        surface=colours["ground"],
        panel=colours["raised"],
        variables={
            "block-cursor-background": colours["cursor"],
            "block-cursor-foreground": colours["strong"],
            "block-cursor-text-style": "none",
            "border": colours["rule"],
            "scrollbar": colours["rule"],
            "scrollbar-hover": colours["quiet"],
            "scrollbar-active": colours["accent"],
            "scrollbar-background": colours["ground"],
            "scrollbar-background-hover": colours["ground"],
            "scrollbar-background-active": colours["ground"],
            "scrollbar-corner-color": colours["ground"],
            "input-selection-background": colours["cursor"],
        },
    )


_COLOURS: dict[str, dict[str, str]] = {
    DARK: {
        "ground": "#12161c", "raised": "#1a2028", "cursor": "#2a3644", "cursor_blurred": "#1e2731", "rule": "#3a4553",
        "plain": "#c9d1d9", "strong": "#f2f5f8", "quiet": "#8a96a3", "stale": "#7a8591", "accent": "#6cb6ff",
        "needs": "#f0b429", "failing": "#ff7b72", "well": "#6fcf7c", "busy": "#8cc4ff",
    },
    LIGHT: {
        "ground": "#fbfbf9", "raised": "#f0f0ec", "cursor": "#d5e3f3", "cursor_blurred": "#e9eef3", "rule": "#c3c7cc",
        "plain": "#2b3137", "strong": "#0b0e11", "quiet": "#5d6670", "stale": "#6c747d", "accent": "#0a58a8",
        "needs": "#8f5400", "failing": "#b3261e", "well": "#1c6b2c", "busy": "#0a58a8",
    },
    CONTRAST: {
        "ground": "#000000", "raised": "#000000", "cursor": "#00467a", "cursor_blurred": "#303030", "rule": "#b0b0b0",
        "plain": "#ffffff", "strong": "#ffffff", "quiet": "#d0d0d0", "stale": "#b8b8b8", "accent": "#5fd7ff",
        "needs": "#ffff00", "failing": "#ff9b9b", "well": "#5fff5f", "busy": "#87d7ff",
    },
}  # fmt: skip

_ANSI_THEME = replace(
    BUILTIN_THEMES["ansi-dark"],
    name=ANSI,
    accent="ansi_cyan",
    variables=BUILTIN_THEMES["ansi-dark"].variables
    | {
        "block-cursor-foreground": "ansi_default",
        "block-cursor-background": "ansi_default",
        "block-cursor-text-style": "reverse",
        "border": "ansi_default",
        "border-blurred": "ansi_default",
        "scrollbar": "ansi_bright_black",
        "scrollbar-background": "ansi_default",
    },
)

THEMES: tuple[Theme, ...] = (
    _theme(DARK, _COLOURS[DARK], dark=True),
    _theme(LIGHT, _COLOURS[LIGHT], dark=False),
    _theme(CONTRAST, _COLOURS[CONTRAST], dark=True),
    _ANSI_THEME,
)
"""For `App.register_theme`."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The styles of one theme. ground: beneath the screen; raised: beneath a dialog.

    Every style is there and none is None: a missing one crashes under NO_COLOR.
    """

    name: str
    tones: Mapping[str, Style]
    ground: Style
    raised: Style
    header: Style
    rule: Style
    cursor: Style
    cursor_blurred: Style

    def style(self, tone: str) -> Style:
        """The style of a tone; an unknown tone is plain."""
        return self.tones.get(tone) or self.tones["plain"]


def _coloured(name: str) -> Palette:
    colours = _COLOURS[name]
    tones = {tone: Style(color=colours[tone]) for tone in ("plain", "quiet", "accent", "well", "busy", "stale")}
    tones |= {tone: Style(color=colours[tone], bold=True) for tone in ("strong", "needs", "failing")}
    return Palette(
        name=name,
        tones=tones,
        ground=Style(bgcolor=colours["ground"]),
        raised=Style(bgcolor=colours["raised"]),
        header=Style(color=colours["quiet"], bold=True),
        rule=Style(color=colours["rule"]),
        cursor=Style(bgcolor=colours["cursor"], bold=True),
        cursor_blurred=Style(bgcolor=colours["cursor_blurred"]),
    )


def _ansi() -> Palette:
    return Palette(
        name=ANSI,
        tones={
            "plain": Style(color="default"),
            "strong": Style(color="default", bold=True),
            "quiet": Style(color="default", dim=True),
            "stale": Style(color="default", dim=True, italic=True),
            "accent": Style(color="cyan"),
            "needs": Style(color="yellow", bold=True),
            "failing": Style(color="red", bold=True),
            "well": Style(color="green"),
            "busy": Style(color="default"),
        },
        ground=Style(bgcolor="default"),
        raised=Style(bgcolor="default"),
        header=Style(color="default", bold=True),
        rule=Style(color="default", dim=True),
        cursor=Style(reverse=True, dim=False),  # dim letters on a bright ground cannot be read
        cursor_blurred=Style(underline=True),
    )


@lru_cache(8)
def styles(theme_name: str) -> Palette:
    """The styles of a theme; a theme that is not ours gets those of the nearest one of ours."""
    if theme_name == ANSI or theme_name.startswith("ansi"):
        return _ansi()
    return _coloured(theme_name if theme_name in _COLOURS else LIGHT if "light" in theme_name else DARK)


def choose_theme(wanted: str, environ: Mapping[str, str], *, colour_count: int = 1 << 24) -> str:
    """The theme to start with: the wanted one, or the terminal's own colours under NO_COLOR, TERM=dumb or few colours.

    wanted: dark, light, contrast or ansi, or the full name of one of ours; anything else is dark. An app that gets
    `hermes-ansi` must also be built with `ansi_color=True`, or NO_COLOR becomes grey-scale.
    """
    few = 16
    if "NO_COLOR" in environ or environ.get("TERM", "") in {"dumb", "linux"} or colour_count <= few:
        return ANSI
    short = {"light": LIGHT, "contrast": CONTRAST, "ansi": ANSI, LIGHT: LIGHT, CONTRAST: CONTRAST, ANSI: ANSI}
    return short.get(wanted, DARK)
