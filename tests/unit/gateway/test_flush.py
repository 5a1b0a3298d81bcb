"""The write coalescer: one flush for each socket and loop tick."""

import asyncio

from tests.unit.gateway.fanout.streams import a_frame

from relay_gateway.fanout.meter import DeliveryMeter
from relay_gateway.fanout.write_times import WriteTimes
from relay_gateway.flush import WriteCoalescer
from relay_streams.keys import KeySpace


class Written:
    """A socket that is added again during its first ``again`` flushes."""

    def __init__(self, coalescer: WriteCoalescer, again: int = 0) -> None:
        self.flushes = 0
        self._coalescer = coalescer
        self._again = again

    def flush(self) -> None:
        self.flushes += 1
        if self.flushes <= self._again:
            self._coalescer.add(self)


async def test_sockets_are_flushed_at_the_end_of_the_tick() -> None:
    """Each once; a socket that is added during a flush waits for the next tick."""
    coalescer = WriteCoalescer()
    sockets = [Written(coalescer), Written(coalescer, again=1), Written(coalescer)]
    for socket in sockets:
        coalescer.add(socket)
    assert [socket.flushes for socket in sockets] == [0, 0, 0]
    await asyncio.sleep(0)
    assert [socket.flushes for socket in sockets] == [1, 1, 1]
    await asyncio.sleep(0)
    assert [socket.flushes for socket in sockets] == [1, 2, 1]
    await asyncio.sleep(0)
    assert [socket.flushes for socket in sockets] == [1, 2, 1]


class Watching:
    """A socket that notes at its flush whether deliveries have their time."""

    def __init__(self, *meters: DeliveryMeter) -> None:
        self.timed: list[bool] = []
        self._meters = meters

    def flush(self) -> None:
        self.timed = [not meter.due for meter in self._meters]


async def test_deliveries_are_timed_behind_the_flush_of_every_socket() -> None:
    """Also of a socket that was written to after a delivery was scheduled; each is timed once."""
    coalescer, meters = WriteCoalescer(), [DeliveryMeter(), DeliveryMeter()]
    first, last = Watching(*meters), Watching(*meters)
    coalescer.add(first)
    for number, meter in enumerate(meters):
        times = WriteTimes(KeySpace().conversation(f"c{number}"), meter, coalescer)
        meter.count([a_frame(1)], viewers=1)
        times.schedule()
        times.schedule()
    coalescer.add(last)

    await asyncio.sleep(0)
    assert first.timed == last.timed == [False, False]
    assert [meter.due for meter in meters] == [False, False]


async def test_a_delivery_without_a_socket_is_timed() -> None:
    """Its dialect had nothing to write for its frames; the next delivery is timed again."""
    coalescer, meter = WriteCoalescer(), DeliveryMeter()
    times = WriteTimes(KeySpace().conversation("c"), meter, coalescer)
    for seq in (1, 2):
        meter.count([a_frame(seq)], viewers=1)
        times.schedule()
        assert meter.due
        await asyncio.sleep(0)
        assert not meter.due
