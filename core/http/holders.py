"""Who holds a TCP port, as far as /proc tells. Reads the disk: call it off the loop."""

from pathlib import Path

_LISTEN = "0A"
_PROC = Path("/proc")


def find_holder(port: int, *, proc: Path = _PROC) -> int | None:
    """The pid that listens on the port; None when there is none, or it is not ours to see."""
    inodes = _listening_inodes(port, proc)
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for folder in proc.glob("[0-9]*"):
        if _holds(folder / "fd", wanted):
            return int(folder.name)
    return None


def _listening_inodes(port: int, proc: Path) -> set[str]:
    found: set[str] = set()
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / name).read_text(encoding="ascii").splitlines()[1:]
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTEN and fields[1].endswith(f":{port:04X}"):  # noqa: PLR2004
                found.add(fields[9])
    return found


def _holds(folder: Path, wanted: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in wanted for link in folder.iterdir())
    except OSError:
        # Another user's process, or one that has just ended.
        return False
