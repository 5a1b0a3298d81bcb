"""Text: the report of a verification in a few lines, for a person. Pure."""

from collections.abc import Iterator
from typing import Any


def summary(report: dict[str, Any]) -> Iterator[str]:
    """The lines on a report's figures.

    Args:
        report: The report, as ``Verification.run`` returns it.
    """
    recovery, stall, codes = report["recovery_ms"], report["stall_ms"], report["close_codes"]
    yield (
        f"{report['turns']} turns in {report['conversations']} conversations, {report['viewers']} viewers:"
        f" {report['frames']} frames, {report['audio_bytes']} bytes of audio,"
        f" {report['motion_frames']} motion frames, {report['audio_only']} turns without motion"
    )
    yield (
        f"lost {report['lost']}, repeated {report['repeated']}, reordered {report['reordered']},"
        f" gaps {report['gaps']}, final closes {report['final_closes']}"
    )
    closes = ", ".join(f"{code} ({count})" for code, count in codes.items()) or "none"
    yield f"{report['reconnects']} reconnects ({report['cuts']} connections cut here); close codes {closes}"
    yield f"longest pause in a turn: p50 {stall['p50']} ms, p99 {stall['p99']} ms, longest {stall['max']} ms"
    if recovery["count"]:
        yield (
            f"recovery p50 {recovery['p50']} ms, p90 {recovery['p90']} ms, p99 {recovery['p99']} ms,"
            f" longest {recovery['max']} ms"
        )


def verdict(report: dict[str, Any]) -> str:
    """The last line."""
    if report["ok"]:
        return "ok: every viewer received every frame once, in order and unchanged"
    return (
        f"not whole: {report['failed']} failures" if report["failed"] else "not whole: no turn was compared"
    )
