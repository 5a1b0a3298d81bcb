"""Clients of AvatarKit: ``/ws/agent``, where a client that lost its socket begins again with the turn."""

import time
from typing import Any

from tests.load import verdict
from tests.load.client import Client
from tests.load.connection import Connection
from tests.load.conversations import Conversation
from tests.load.rounds import Breach, Rounds


class AvatarKitClient(Client):
    """One of the vendor's clients, which checks that it could play every round."""

    kind = "avatarkit"

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._rounds = Rounds()
        self._opened_at = 0.0
        self._moves = False

    def begin(self) -> None:
        """Begin without a round."""
        self._rounds = Rounds()

    def connect(self, gateway: str, conversation: Conversation) -> Connection:  # noqa: ARG002
        """Open a socket; its conversation is that of the token."""
        self._rounds = Rounds()
        return Connection.open(f"{gateway}/ws/agent", headers=[f"Authorization: Bearer {self.token}"])

    def receive(self, message: bytes | str) -> bool:
        """Check a message."""
        rounds, turn, closed = self._rounds, self._rounds.turn, self._rounds.closed
        try:
            kind = rounds.receive(message)
        except Breach as breach:
            self.report.failed(verdict.ROUND, str(breach))
            return False
        if rounds.turn != turn:
            self._opened_at, self._moves = time.monotonic(), False
        since_ms = (time.monotonic() - self._opened_at) * 1000
        if kind == "avatar_frames" and not self._moves:
            self._moves = True
            self.report.succeeded(verdict.MOTION, since_ms, len(message))
        if rounds.closed > closed:
            self.report.succeeded(verdict.ROUND, since_ms)
        return rounds.ended
