"""Logs: one structured line per event, static message first, secrets masked."""

import logging
import sys
from typing import Literal, get_args

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from relay_telemetry.log_writer import LogWriter, standard_error

Level = Literal["debug", "info", "warning", "error"]

log = structlog.get_logger(__name__)

_SECRET_KEYS = ("token", "secret", "api_key", "password", "authorization")
_MASK = "***"
_NUMBERS: dict[Level, int] = {name: logging.getLevelNamesMapping()[name.upper()] for name in get_args(Level)}
_LEVELS: dict[int, Level] = {number: name for name, number in _NUMBERS.items()}
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # keys and tokens are among them
)


def configure(
    service: str,
    *,
    level: Level,
    style: Literal["auto", "console", "json"],
    buffer_bytes: int = 1024 * 1024,
    repeats_per_s: int = 50,
) -> None:
    """Set up logging for the process: structlog and the standard library alike, to standard error.

    Logging never blocks: see ``LogWriter``. The end of the process waits a moment for the remaining lines.

    Args:
        service: Bound to every line.
        level: Least severe level written.
        style: ``auto`` is ``console`` on a terminal, else ``json``.
        buffer_bytes: Most bytes of lines that wait for standard error.
        repeats_per_s: Lines of one event per second.
    """
    structlog.contextvars.bind_contextvars(service=service)
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _mask_secrets,
    ]
    final: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [_TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = LogWriter(standard_error(), buffer_bytes=buffer_bytes, repeats_per_s=repeats_per_s)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    logging.getLogger().handlers = [handler]
    _set_level(level)


def level() -> Level:
    """The least severe level that is written now."""
    return _LEVELS[logging.getLogger().level]


def change_level(to: Level) -> None:
    """Change the level while the process runs; a line shows that, whichever of both levels has it."""
    before = level()
    if to == before:
        return
    _set_level(min(to, before, key=_NUMBERS.__getitem__))
    log.warning("log level changed", before=before, after=to)
    _set_level(to)


def _set_level(level: Level) -> None:
    number = _NUMBERS[level]
    logging.getLogger().setLevel(number)
    # Their INFO lines repeat ours, once per request or session, with URLs in them.
    for chatty in ("aiohttp.access", "websockets", "spatius", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, number))
    # It warns of unknown subprotocols, and viewers' tokens may stand among them.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


def flush() -> None:
    """Wait until all lines are written, at most ``FLUSH_S``."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def _mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key in event:
        if any(word in key.lower() for word in _SECRET_KEYS):
            event[key] = _MASK
    return event
