"""Session faults: how each of them is performed when it is due."""

from collections.abc import Callable

from relay_simulator import messages
from relay_simulator.faults import SESSION, Fault
from relay_simulator.lifetime import CREDITS_EXHAUSTED, TIME_LIMIT, Ending
from relay_simulator.motion import Window
from relay_simulator.request_log import RequestLog
from relay_simulator.session import PerformFault, Session

_OVERSIZE_BYTES = 2**20 + 1024
"""Above the limit of the SDK's WebSocket: it closes with 1009 (facts 1.4.2)."""
_HUGE_BYTES = 800 * 1024
"""Below that limit, but above the largest frame."""


async def perform(session: Session, fault: Fault, entry: RequestLog, window: Window) -> bool:
    """Perform a fault. Returns whether it continues at the next window."""
    return await _FAULTS[fault.fault](session, fault, entry, window)


async def _close(session: Session, fault: Fault, _entry: RequestLog, _window: Window) -> bool:
    await session.websocket.close(code=fault.code, message=b"simulated")
    return False


async def _abort(session: Session, _fault: Fault, _entry: RequestLog, _window: Window) -> bool:
    session.transport.abort()
    return False


async def _freeze(session: Session, _fault: Fault, _entry: RequestLog, _window: Window) -> bool:
    session.transport.pause_reading()
    session.silent = True
    return False


async def _stall(session: Session, _fault: Fault, _entry: RequestLog, _window: Window) -> bool:
    session.silent = True
    return False


async def _garbage(session: Session, _fault: Fault, _entry: RequestLog, _window: Window) -> bool:
    await session.transmit(b"\xff\xff\xff\xff")
    return False


async def _text(session: Session, _fault: Fault, entry: RequestLog, window: Window) -> bool:
    await session.websocket.send_str("not protobuf")
    await session.send(entry, session.payload(entry, window))
    return False


def _large(size_bytes: int) -> PerformFault:
    async def large(session: Session, _fault: Fault, entry: RequestLog, window: Window) -> bool:
        await session.transmit(
            messages.animation(session.connection_id, entry.req_id, bytes(size_bytes), end=False)
        )
        if not session.websocket.closed:
            await session.send(entry, session.payload(entry, window))
        return False

    return large


async def _no_motion(session: Session, _fault: Fault, entry: RequestLog, window: Window) -> bool:
    await session.send(entry, messages.animation(session.connection_id, entry.req_id, b"", end=window.last))
    return True


async def _missing_end(session: Session, _fault: Fault, entry: RequestLog, window: Window) -> bool:
    await session.send(
        entry, messages.animation(session.connection_id, entry.req_id, window.motion, end=False)
    )
    return True


def _after_the_end(again: Callable[[Session, RequestLog, bytes], bytes]) -> PerformFault:
    """Send the payload, and another one after the request's end."""

    async def after_the_end(session: Session, _fault: Fault, entry: RequestLog, window: Window) -> bool:
        payload = session.payload(entry, window)
        await session.send(entry, payload)
        if window.last:
            await session.transmit(again(session, entry, payload))
        return not window.last

    return after_the_end


def _late_frame(session: Session, entry: RequestLog, _payload: bytes) -> bytes:
    return messages.animation(session.connection_id, entry.req_id, b"late", end=False)


async def _interleaved(session: Session, _fault: Fault, entry: RequestLog, window: Window) -> bool:
    foreign = f"{entry.req_id[:-1]}~"
    await session.transmit(messages.animation(session.connection_id, foreign, b"foreign", end=False))
    await session.send(entry, session.payload(entry, window))
    return False


def _server_error(ending: Ending) -> PerformFault:
    async def server_error(session: Session, _fault: Fault, entry: RequestLog, _window: Window) -> bool:
        await session.transmit(messages.error(session.connection_id, entry.req_id, ending.code, ending.text))
        session.silent = True
        return False

    return server_error


async def _idle_timeout(session: Session, _fault: Fault, _entry: RequestLog, _window: Window) -> bool:
    await session.time_out()
    return False


_FAULTS: dict[str, PerformFault] = {
    "abort": _abort,
    "close": _close,
    "duplicate_end": _after_the_end(lambda _session, _entry, payload: payload),
    "error_4001": _server_error(CREDITS_EXHAUSTED),
    "error_4002": _server_error(TIME_LIMIT),
    "freeze": _freeze,
    "garbage": _garbage,
    "idle_timeout": _idle_timeout,
    "huge": _large(_HUGE_BYTES),
    "interleaved": _interleaved,
    "late_frames": _after_the_end(_late_frame),
    "missing_end": _missing_end,
    "no_motion": _no_motion,
    "oversize": _large(_OVERSIZE_BYTES),
    "stall": _stall,
    "text": _text,
}
assert frozenset(_FAULTS) == SESSION, "every session fault is implemented"  # noqa: S101  # at import
