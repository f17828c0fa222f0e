"""What a file holds, by its own account and by what was known before: the difference is what was lost."""

from pathlib import Path

import apsw
import msgspec

from core.api.base import Seq
from core.store.base import Loss
from core.store.sqlite_errors import store_error
from core.store.sqlite_mail import MailSurvey, survey_mail, write_mail_floor
from core.store.sqlite_schema import READ_EPOCH, READ_HEAD
from core.store.sqlite_statement import number, run
from core.store.watermark import Watermark


class Stock(msgspec.Struct, frozen=True):
    """Where journal and mail log end, and what is missing before that. The next to be written go above."""

    epoch: int
    head: Seq
    mail_floor: int
    mail_last: int
    lost: tuple[Loss, ...]

    @property
    def mark(self) -> Watermark:
        """The same for those who come later."""
        return Watermark(self.epoch, self.head, self.mail_floor + 1, self.mail_last)


def take_stock(connection: apsw.Connection, known: Watermark | None) -> Stock:
    """Look, and compare with what was known. Raises apsw.Error."""
    epoch = number(connection, READ_EPOCH)
    head = number(connection, READ_HEAD)
    survey = survey_mail(connection)
    stock = Stock(epoch, Seq(head), survey.floor, survey.last, survey.lost)
    if known is None or known.epoch != epoch:
        return stock
    lost = survey.lost
    if known.last > survey.last:
        survey = _without_what_was_let_go(connection, survey, known)
        lost = (*lost, Loss("mail", survey.last + 1, known.last))
    if known.seq > head:
        lost = (*lost, Loss("journal", head + 1, known.seq))
    return Stock(epoch, Seq(max(head, known.seq)), survey.floor, max(survey.last, known.last), lost)


def check_whole(path: Path, connection: apsw.Connection) -> None:
    """Raises StoreError when the file's own structure is damaged."""
    found = run(connection, "PRAGMA quick_check(1)")
    if found != [("ok",)]:
        raise store_error(path, "corrupt", f"after a failure of the disk it is damaged: {found[0][0]}")


def _without_what_was_let_go(connection: apsw.Connection, survey: MailSurvey, known: Watermark) -> MailSurvey:
    """With no pack left, the known first place tells where the loss begins. Packs that came back are kept."""
    if survey.count or known.first - 1 <= survey.last:
        return survey
    write_mail_floor(connection, known.first - 1)
    return MailSurvey(known.first - 1, known.first - 1, 0, ())
