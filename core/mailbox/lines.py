"""Order by sender: the messages of one ordering key form a line, and only its head may be out (pure)."""

from collections import deque
from collections.abc import Callable

from core.mailbox.message import Mail


class Lines(dict[str, Mail | deque[Mail]]):
    """Lines by key. A line of one message is that message itself, since most are."""

    __slots__ = ()

    def join(self, mail: Mail) -> bool:
        """Put a message at the end of its line; True when nothing is before it."""
        key = mail.order_key
        line = self.get(key)
        if line is None:
            self[key] = mail
            return True
        if isinstance(line, deque):
            line.append(mail)
        else:
            self[key] = deque((line, mail))
        return False

    def leave(self, mail: Mail) -> Mail | None:
        """Take a message out; gives the one that has come to the head by that."""
        key = mail.order_key
        line = self.get(key)
        if line is mail:
            del self[key]
        elif isinstance(line, deque):
            if line[0] is not mail:
                if mail in line:
                    line.remove(mail)
                return None
            line.popleft()
            if line:
                return line[0]
            del self[key]
        return None

    def replace(self, mail: Mail, again: Mail) -> bool:
        """Put the new object of a message at the place of the old one; True when that is the head."""
        line = self.get(mail.order_key)
        if isinstance(line, deque):
            for place, other in enumerate(line):
                if other is mail:
                    line[place] = again
                    return place == 0
            line.append(again)
            return False
        if line is mail or line is None:
            self[mail.order_key] = again
            return True
        self[mail.order_key] = deque((again, line) if again.id < line.id else (line, again))
        return False

    def is_head(self, mail: Mail) -> bool:
        """Whether nothing is before it."""
        line = self.get(mail.order_key)
        return line is mail or (isinstance(line, deque) and line[0] is mail)

    def has_earlier(self, mail: Mail, match: Callable[[Mail], bool]) -> bool:
        """Whether one that fits stands before it in its line."""
        line = self.get(mail.order_key)
        if isinstance(line, deque):
            for other in line:
                if other is mail:
                    return False
                if match(other):
                    return True
        return False
