"""Tally: the totals of a verification, and its verdict. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from relay_cli.verify.order import Order
from relay_cli.verify.recovery import Recovery, distribution
from relay_cli.verify.turn import ReceivedTurn, SpokenTurn, breaches

_MOST_FAILURES = 100
"""Most failures that are kept as text; further ones are only counted."""


@dataclass
class Tally:
    """The totals over all conversations and viewers.

    A verification is whole when nothing is counted in ``failed``.
    """

    turns: int = 0
    """Turns that every viewer has received and that were compared."""
    audio_bytes: int = 0
    """Audio of these turns, once."""
    audio_only: int = 0
    """Turns of these that continued without motion."""
    motion_payloads: int = 0
    """Motion payloads, over all viewers."""
    motion_checked: int = 0
    """Turns whose motion was compared with what the simulator sent."""
    audio_differs: int = 0
    """Turns whose audio differed at a viewer, counted for each viewer."""
    final_closes: int = 0
    """Viewers whose connection ended for good before their conversation did."""
    failed: int = 0
    """Failures, as text in ``failures`` up to a limit."""
    failures: list[str] = field(default_factory=list)
    frames: int = 0
    lost: int = 0
    repeated: int = 0
    reordered: int = 0
    gaps: int = 0
    reconnects: int = 0
    cuts: int = 0
    """Connections that the verification has cut."""
    close_codes: Counter[int] = field(default_factory=Counter)
    recovery_ms: list[float] = field(default_factory=list)
    stalls_ms: list[float] = field(default_factory=list)
    """For each viewer the longest time between two frames of one turn."""

    @property
    def is_whole(self) -> bool:
        """Whether everything arrived, once, in order and unchanged; and there was something to arrive."""
        return not self.failed and self.turns > 0

    def fail(self, failure: str) -> None:
        """Record a failure."""
        self.failed += 1
        if len(self.failures) < _MOST_FAILURES:
            self.failures.append(failure)

    def compare_turn(
        self, where: str, spoken: SpokenTurn, received: list[ReceivedTurn], answers: list[list[str]] | None
    ) -> None:
        """Compare a turn as every viewer received it.

        Args:
            where: The conversation, for the texts of failures.
            spoken: What was spoken.
            received: The turn, by viewer.
            answers: Motion that the simulator has sent for its audio; None when it is unknown.
        """
        self.turns += 1
        self.audio_bytes += spoken.audio_bytes
        self.audio_only += any(turn.is_audio_only for turn in received)
        self.motion_checked += answers is not None
        for number, turn in enumerate(received, start=1):
            self.motion_payloads += len(turn.motion)
            self.audio_differs += turn.audio_sha256 != spoken.audio_sha256
            for breach in breaches(turn, spoken, answers):
                self.fail(f"{where}, turn {spoken.number}, viewer {number}: {breach}")
            if turn.frames_sha256 != received[0].frames_sha256:
                self.fail(f"{where}, turn {spoken.number}: viewers 1 and {number} received different frames")

    def add_viewer(self, where: str, order: Order, recovery: Recovery, close_codes: Counter[int]) -> None:
        """Add the counts of a viewer whose conversation is over.

        Args:
            where: The conversation and the viewer, for the texts of failures.
            order: The order of its frames.
            recovery: Its recoveries.
            close_codes: The codes with which its connections ended.
        """
        self.frames += order.frames
        for name in ("lost", "repeated", "reordered", "gaps"):
            count = getattr(order, name)
            setattr(self, name, getattr(self, name) + count)
            if count:
                self.fail(f"{where}: {count} {'gaps' if name == 'gaps' else f'frames {name}'}")
        self.close_codes.update(close_codes)
        self.recovery_ms += recovery.times_ms
        self.stalls_ms.append(recovery.stall_ms)

    def as_json(self) -> dict[str, Any]:
        """The figures of the report."""
        return {
            "ok": self.is_whole,
            "turns": self.turns,
            "frames": self.frames,
            "lost": self.lost,
            "repeated": self.repeated,
            "reordered": self.reordered,
            "gaps": self.gaps,
            "final_closes": self.final_closes,
            "audio_bytes": self.audio_bytes,
            "audio_equal": self.turns > 0 and not self.audio_differs,
            "motion_frames": self.motion_payloads,
            "motion_checked": self.motion_checked,
            "audio_only": self.audio_only,
            "reconnects": self.reconnects,
            "cuts": self.cuts,
            "close_codes": {str(code): count for code, count in sorted(self.close_codes.items())},
            "recovery_ms": distribution(self.recovery_ms),
            "stall_ms": distribution(self.stalls_ms),
            "failed": self.failed,
            "failures": self.failures,
        }
