"""Errors of the store and the problem that each becomes: the one table for control."""

from relay_redis.errors import StoreError, Unavailable, Unencodable
from relay_runtime.http import Translations
from relay_streams.errors import (
    Ended,
    InputMismatch,
    Missing,
    SpeakerBusy,
    TurnClosed,
    Unreadable,
    Unreplicated,
    UplinkFull,
)
from relay_wire import problems
from relay_wire.problems import Problem

UPLINK_RETRY_S = 5
"""``Retry-After`` of a full uplink: the owner reads as fast as the avatar speaks."""


def _speaker_busy(error: SpeakerBusy) -> Problem:
    detail = f"turn {error.turn} is being spoken: wait for its end, or post with barge_in=true"
    return Problem(problems.TURN_OPEN, detail, turn=error.turn)


def _turn_closed(error: TurnClosed) -> Problem:
    return Problem(problems.TURN_OPEN, f"turn {error.turn} was interrupted", turn=error.turn)


def _input_mismatch(error: InputMismatch) -> Problem:
    detail = f"{error}: use a key for one turn only"
    return Problem(problems.IDEMPOTENCY_MISMATCH, detail, turn=error.turn)


def _uplink_full(_error: UplinkFull) -> Problem:
    detail = "the uplink is full; post again with the same key to resume"
    return Problem(problems.UPLINK_FULL, detail, retry_after_s=UPLINK_RETRY_S)


PROBLEMS: Translations = {
    Missing: (problems.UNKNOWN_CONVERSATION, "there is no conversation with this id"),
    Unreadable: (problems.UNREADABLE_RECORD, "the conversation's record is damaged, or of a later version"),
    Ended: (problems.CONVERSATION_ENDED, "the conversation has ended"),
    SpeakerBusy: _speaker_busy,
    TurnClosed: _turn_closed,
    InputMismatch: _input_mismatch,
    UplinkFull: _uplink_full,
    Unreplicated: (problems.STORE_UNAVAILABLE, "too few replicas of Redis have the speech; post it again"),
    Unavailable: (problems.STORE_UNAVAILABLE, "Redis cannot be reached, or did not answer in time"),
    Unencodable: (problems.BAD_REQUEST, "the request has text that is not Unicode"),
    StoreError: (problems.STORE_UNAVAILABLE, "Redis refused a command"),
}
"""By exception, the more specific first."""
