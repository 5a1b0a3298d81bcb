"""Turn machines: rules of the tests, and turns in short."""

from relay_turns.effects import Abandon, Deferred, Discard, Effect, Publish, SendAudio
from relay_turns.machine import TurnMachine
from relay_turns.playback import PlaybackLimits
from relay_turns.rules import Rules
from relay_wire import events
from relay_wire.frame import Kind

RATE = 16000
SECOND = bytes(2 * RATE)
RULES = Rules(
    sample_rate=RATE,
    first_motion_timeout_s=5,
    motion_stall_timeout_s=10,
    input_timeout_s=30,
    playback=PlaybackLimits(grace_s=0.5, report_s=10, viewers=64),
)
NOT_ADMITTED = ["discard audio not_admitted"]


def summary(effects: list[Effect] | Deferred) -> list[str]:
    """Effects in short: what is published, sent, abandoned, discarded; or that audio is deferred."""
    if isinstance(effects, Deferred):
        return ["deferred"]
    words = []
    for effect in effects:
        match effect:
            case Publish(Kind.EVENT, _, payload):
                event = events.decode(payload)
                detail = getattr(event, "outcome", getattr(event, "reason", getattr(event, "code", "")))
                words.append(f"{type(event).__name__} {detail}".strip())
            case Publish(kind, _, payload, _, end):
                words.append(f"{kind.name.lower()} {len(payload)}{' END' if end else ''}")
            case SendAudio(_, pcm, end):
                words.append(f"send {len(pcm)}{' end' if end else ''}")
            case Abandon(_, overdue):
                words.append("abandon overdue" if overdue else "abandon")
            case Discard(what, reason):
                words.append(f"discard {what} {reason}")
    return words


def begins(machine: TurnMachine, turn: int, now: float = 0.0) -> bool:
    """Whether audio of a turn begins it."""
    return summary(machine.audio(now, turn, SECOND))[:1] == ["TurnStarted"]


def speaking(machine: TurnMachine, turn: int = 1, now: float = 0.0) -> None:
    """A turn with one second of audio whose request is open."""
    machine.audio(now, turn, SECOND)
    machine.request_opened(turn, f"req-{turn}")


def playing(machine: TurnMachine, turn: int = 1, seconds: int = 3) -> None:
    """A turn all of which is out at once; it plays from 0 on."""
    machine.audio(0, turn, SECOND * seconds, end=True)
    machine.request_opened(turn, f"r{turn}")
    machine.motion(0, f"r{turn}", b"m", last=True)
