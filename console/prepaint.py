"""The first frame. (signatures; filled soon)

paint(home: Path) -> bool; undo() -> None
FRAME_FILE = "last_frame.json": {"at": utc seconds, "title": "overview", "counts": {"sessions":..,"running":..,"waiting":..,"queued":..,"failed":..,"approvals":..,"dead":..}}
save_frame(home, *, at, counts) -> None writes it atomically
"""
