"""The mail machine: where a message can be, and what takes it from there to the next place (pure).

The queue moves messages without looking things up here, for speed; its property test holds every
move that it makes against this table.
"""

from enum import StrEnum

from core.api.mail import MailState
from core.machine import Machine


class MailStep(StrEnum):
    """What can happen to a message."""

    TAKE = "take"
    PUT_OFF = "put off"
    COME_DUE = "come due"
    ACK = "ack"
    GIVE_BACK = "give back"
    BACK_OFF = "back off"
    EXPIRE = "expire"
    BURY = "bury"
    DROP = "drop"


MAIL: Machine[MailState, MailStep] = Machine(
    "mail",
    MailState,
    {
        MailState.QUEUED: {
            MailStep.TAKE: MailState.IN_FLIGHT,
            MailStep.PUT_OFF: MailState.DELAYED,
            MailStep.EXPIRE: MailState.EXPIRED,
            MailStep.BURY: MailState.DEAD,
            MailStep.DROP: MailState.DROPPED,
        },
        MailState.DELAYED: {
            MailStep.COME_DUE: MailState.QUEUED,
            MailStep.TAKE: MailState.IN_FLIGHT,
            MailStep.EXPIRE: MailState.EXPIRED,
            MailStep.BURY: MailState.DEAD,
            MailStep.DROP: MailState.DROPPED,
        },
        MailState.IN_FLIGHT: {
            MailStep.ACK: MailState.DONE,
            MailStep.GIVE_BACK: MailState.QUEUED,
            MailStep.BACK_OFF: MailState.DELAYED,
            MailStep.BURY: MailState.DEAD,
            MailStep.DROP: MailState.DROPPED,
        },
        MailState.DEAD: {MailStep.DROP: MailState.DROPPED},
        MailState.DONE: {},
        MailState.EXPIRED: {},
        MailState.DROPPED: {},
    },
)
