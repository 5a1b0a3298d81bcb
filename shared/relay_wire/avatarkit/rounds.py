"""Rounds: what of a conversation one client can use.

The client's SDK opens a round with the first audio of a turn, gives it an id of its own, and plays
motion only under that id; the closing audio ends the round. So a turn is told from its beginning or
not at all, and a round that was opened is closed, whatever is lost on the way.
"""

from collections.abc import Sequence

from relay_wire.avatarkit.texts import VendorMessages, closing, status


class Rounds:
    """One client's rounds. Pure: give it what the conversation says, and send what it answers."""

    def __init__(self) -> None:
        self._turn = 0
        """The turn this client hears; 0 before the first beginning it was there for."""
        self._open = False

    def follow(self, told: VendorMessages) -> Sequence[bytes]:
        """The texts of the conversation's next frame that this client can use."""
        if told.step == "begins":
            close = self._close()
            self._turn = told.turn
            return (*close, *told.texts)
        if told.turn not in (0, self._turn):
            return ()
        if told.step in ("sounds", "closes"):
            self._open = told.step == "sounds"
        return told.texts

    def miss(self) -> Sequence[bytes]:
        """Frames are lost to this client: what is left of its turn would be noise."""
        close = self._close()
        self._turn = 0
        return (*close, status("something was missed; the next turn is whole"))

    def _close(self) -> Sequence[bytes]:
        texts = (closing(self._turn),) if self._open else ()
        self._open = False
        return texts
