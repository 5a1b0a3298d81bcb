"""Rounds: the part of a conversation that one client can play.

The client's SDK opens a round with the first audio of a turn, gives it an id of its own, and plays
motion only under that id; the closing audio ends the round. So a turn is sent from its first frame or
not at all, and a round that was opened is closed, whichever frames are lost.
"""

from collections.abc import Sequence

from relay_wire.avatarkit.texts import VendorMessages, closing, status


class Rounds:
    """One client's rounds. Pure: the caller passes the conversation's messages, and sends the results."""

    def __init__(self) -> None:
        self._turn = 0
        """The turn that this client receives; 0 before the first one that it received from the start."""
        self._open = False
        self._speaks = False
        """Whether that turn has not ended."""

    @property
    def idle(self) -> bool:
        """Whether this client is in no turn."""
        return not self._speaks

    def follow(self, received: VendorMessages) -> Sequence[bytes]:
        """The texts of the conversation's next frame that this client can play."""
        if received.step == "starts":
            close = self._close()
            self._turn = received.turn
            self._speaks = True
            return (*close, *received.texts)
        if received.turn not in (0, self._turn):
            return ()
        if received.step in ("audio", "ends"):
            self._open = received.step == "audio"
        self._speaks = self._speaks and received.step != "over"
        return received.texts

    def miss(self) -> Sequence[bytes]:
        """The texts after frames that this client has missed: the rest of its turn is not sent."""
        return (*self.end(), status("something was missed; the next turn is whole"))

    def end(self) -> Sequence[bytes]:
        """The text that closes the open round, if there is one; nothing more of its turn is sent."""
        close = self._close()
        self._turn = 0
        self._speaks = False
        return close

    def _close(self) -> Sequence[bytes]:
        texts = (closing(self._turn),) if self._open else ()
        self._open = False
        return texts
