"""Trace contexts: what counts as one, and its parts."""

import pytest

from relay_telemetry.trace_context import Context

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_the_parts_of_a_context() -> None:
    context = Context(f"00-{TRACE_ID}-{SPAN_ID}-03", "vendor=1")

    assert context
    assert (context.trace_id, context.span_id, context.flags) == (TRACE_ID, SPAN_ID, 3)
    assert context.sampled


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"00-{TRACE_ID}-{SPAN_ID}-01-",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01\n",
    ],
)
def test_anything_else_counts_as_none(text) -> None:
    context = Context(text, "vendor=1")

    assert not context
    assert (context.trace_id, context.span_id, context.flags, context.sampled) == ("", "", 0, False)
    assert context.with_sampled(True) is context


def test_a_context_in_one_line() -> None:
    for context in (
        Context(),
        Context(f"00-{TRACE_ID}-{SPAN_ID}-01"),
        Context(f"00-{TRACE_ID}-{SPAN_ID}-00", "a=b c,d=e"),
    ):
        assert Context.decode(context.encode()) == context
    assert Context("x", "vendor=1").encode() == ""
    assert not Context.decode("x y")


def test_a_child_has_the_trace_its_flags_and_its_state() -> None:
    for flags in ("00", "01", "02", "03"):
        parent = Context(f"00-{TRACE_ID}-{SPAN_ID}-{flags}", "vendor=1")
        assert parent.child("1" * 16) == Context(f"00-{TRACE_ID}-{'1' * 16}-{flags}", "vendor=1")


def test_sampling_changes_one_flag() -> None:
    context = Context(f"00-{TRACE_ID}-{SPAN_ID}-02", "vendor=1")

    assert context.with_sampled(True) == Context(f"00-{TRACE_ID}-{SPAN_ID}-03", "vendor=1")
    assert context.with_sampled(True).with_sampled(False) == context
