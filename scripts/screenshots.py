"""Draws the pictures of the documents from the running program: the demo's fleet, as it is after half a minute."""

import asyncio
import re
import tempfile
from pathlib import Path

from console.app import ConsoleApp
from console.options import ConsoleOptions
from core.connect import open_demo, prepare_demo

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE = (120, 36)
SETTLE_S = 30.0
VIEWS: dict[str, tuple[str, ...]] = {
    "overview": ("1",),
    "sessions": ("2",),
    "approvals": ("3",),
    "agents": ("0",),
    "tasks": ("6",),
    "mailboxes": ("4",),
    "dead_letters": ("d",),
    "relay": ("5", "1"),
    "platforms": ("7",),
    "pairing": ("colon", *"pairing", "enter"),
    "outboxes": ("colon", *"outboxes", "enter"),
    "cron": ("colon", *"cron", "enter"),
}
"""Names of pictures and the keys that lead there, in this order: the dead letters are opened from the mailboxes."""

# A picture must not fetch fonts from anywhere when it is looked at.
_FONT_FACE = re.compile(r"@font-face\s*\{.*?\}\s*", re.DOTALL)


async def draw(home: Path) -> None:
    """Run the console on that home and save what it shows."""
    hermes = await asyncio.to_thread(open_demo, home)
    try:
        app = ConsoleApp(lambda: hermes, ConsoleOptions(home=home, is_embedded=True, on_quit="stop", demo=True))
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause(SETTLE_S)
            for name, keys in VIEWS.items():
                await pilot.press(*keys)
                await pilot.pause(1.0)
                drawn = _FONT_FACE.sub("", app.export_screenshot(title="hermes-console demo"))
                (IMAGES / f"{name}.svg").write_text(drawn, encoding="utf-8")
    finally:
        await hermes.close()


def main() -> None:
    """Write docs/images."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "demo"
        prepare_demo(home)
        asyncio.run(draw(home))


if __name__ == "__main__":
    main()
