"""One conversation of a verification: turns are spoken one after the other, and compared at every viewer."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from relay_cli.verify.simulator_log import SimulatorLog
from relay_cli.verify.speaker import Speaker, Speech
from relay_cli.verify.tally import Tally
from relay_cli.verify.turn import SpokenTurn
from relay_cli.verify.watcher import Watcher
from relay_client import Backend, BackendError

END_TIMEOUT_S = 15.0
"""Longest wait for ``conversation_ended`` at every viewer."""
_NUMBERS = 10_000
"""Distance between the speech of two conversations."""


class ConversationRun:
    """Runs one conversation whose viewers are connected.

    Args:
        number: Its number in the verification.
        conversation: Its id.
        backend: The client of control.
        speech: The speech.
        watchers: Its viewers.
        tally: Gets the results.
        simulator_log: The simulator's log; None without one.
        turn_timeout_s: Longest wait for a turn to reach every viewer, beyond its own length.
        cut: Cut the connection of the last viewer in the middle of a turn, once.
    """

    def __init__(
        self,
        number: int,
        conversation: str,
        backend: Backend,
        speech: Speech,
        watchers: list[Watcher],
        tally: Tally,
        *,
        simulator_log: SimulatorLog | None,
        turn_timeout_s: float,
        cut: bool,
    ) -> None:
        self._number = number
        self._conversation = conversation
        self._backend = backend
        self._speech = speech
        self._watchers = watchers
        self._tally = tally
        self._log = simulator_log
        self._turn_timeout_s = turn_timeout_s
        self._cut = cut
        self._spoken = 0

    async def run(self, goes_on: Callable[[int], bool]) -> None:
        """Speak turns, end the conversation, and add everything to the tally.

        Args:
            goes_on: Whether another turn is to be spoken after this number of turns.
        """
        async with AsyncExitStack() as watching, asyncio.TaskGroup() as tasks:
            for watcher in self._watchers:
                watching.push_async_callback(watcher.close)
                tasks.create_task(watcher.run())
            try:
                while goes_on(self._spoken) and await self._turn():
                    pass
            except BackendError as error:
                self._fail(f"turn {self._spoken} could not be spoken: {error}")
            await self._end()
        self._add_viewers()

    async def _turn(self) -> bool:
        """Speak a turn, wait for it at every viewer, compare. False when the conversation cannot go on."""
        self._spoken += 1
        pcm = self._speech.turn(self._number * _NUMBERS + self._spoken)
        if self._cut and self._spoken == 2:  # the first that is streamed: there is a middle to be cut in
            self._watchers[-1].cut_in(self._spoken, len(pcm) // 2)
        speaker = Speaker(self._backend, self._conversation, self._speech.sample_rate)
        spoken = await (speaker.post(pcm) if self._spoken % 2 else speaker.stream(pcm))
        try:
            async with asyncio.timeout(self._turn_timeout_s + self._speech.turn_s):
                arrived = await asyncio.gather(
                    *(watcher.until_turn_ended(spoken.number) for watcher in self._watchers)
                )
        except TimeoutError:
            arrived = [False]
        if not all(arrived):
            self._fail_missing(spoken)
            return False
        answers = await self._log.answers(spoken.audio_sha256) if self._log else None
        received = [watcher.take_turn(spoken.number) for watcher in self._watchers]
        self._tally.compare_turn(self._where, spoken, received, answers)
        return True

    async def _end(self) -> None:
        with suppress(BackendError):  # what is missing then is a failure of each viewer
            await self._backend.end(self._conversation)
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await asyncio.gather(*(watcher.until_finished() for watcher in self._watchers))
        except TimeoutError:
            for watcher in self._watchers:
                await watcher.close()

    def _add_viewers(self) -> None:
        for watcher in self._watchers:
            where = f"{self._where}, {watcher.name}"
            self._tally.reconnects += watcher.reconnects
            self._tally.cuts += watcher.cuts
            self._tally.add_viewer(where, watcher.order, watcher.recovery, watcher.close_codes)
            if watcher.failure:
                self._tally.final_closes += 1
                self._tally.fail(f"{where}: {watcher.failure}")
            elif watcher.ends != 1:
                self._tally.fail(f"{where}: conversation_ended arrived {watcher.ends} times")
            if watcher.remaining and not watcher.failure:
                self._tally.fail(f"{where}: frames of turns {watcher.remaining} that were not due")

    def _fail_missing(self, spoken: SpokenTurn) -> None:
        for watcher in self._watchers:
            turn = watcher.take_turn(spoken.number)
            if not turn.outcome:
                self._fail(
                    f"{watcher.name}: the end of turn {spoken.number} did not arrive within"
                    f" {self._turn_timeout_s:g} s; {turn.audio_bytes} of {spoken.audio_bytes} audio bytes did"
                )

    @property
    def _where(self) -> str:
        return f"conversation {self._number} ({self._conversation})"

    def _fail(self, text: str) -> None:
        self._tally.fail(f"{self._where}, {text}")
