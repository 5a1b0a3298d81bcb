"""Text from outside: names and trace contexts, and what is none of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_wire import text

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize("name", ["a", "avatar 1", "Ünïcode-名前", "👩‍🚀", "x" * 128])
def test_names(name: str) -> None:
    """Any language's, up to 128 characters."""
    assert text.is_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 129,
        "a\nb",
        "a\x00",
        "\x1b[31m",
        "a\x85",
        "\ud800",
        "a\udcff",
        "\u202egpj.exe",
        "\u2028",
        "a\n",
    ],
)
def test_no_names(name: str) -> None:
    """Empty, too long, control characters, surrogates, characters that reorder what is around them."""
    assert not text.is_name(name)


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        (PARENT, PARENT),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-adds", PARENT),
        (f"cc-{TRACE}-{SPAN}-01", PARENT),
    ],
)
def test_a_traceparent(given_: str, kept: str) -> None:
    """Version 00 as it is, later ones in the form of 00."""
    assert text.traceparent(given_) == kept


@pytest.mark.parametrize(
    "given_",
    [
        "", "é", "\udcff", "x" * 2**20, PARENT + "-more", PARENT + "\n", PARENT.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"cc-{TRACE}-{SPAN}-01." , PARENT[:-1],
        f"cc-{TRACE}-{SPAN}-01-" + "x" * 2**20, "00-" + "\u0664" * 32 + f"-{SPAN}-01", f"{PARENT},{PARENT}",
    ],
)  # fmt: skip
def test_no_traceparent(given_: str) -> None:
    """Left out, whatever it is."""
    assert text.traceparent(given_) == ""


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        ("a=1 ,\t b=2,,", "a=1,b=2"),
        ("tenant@vendor=1", "tenant@vendor=1"),
        ("", ""),
        ("no member", ""),
        ("a=1,a=2", ""),
        ("a=é", ""),
        ("A=1", ""),
        ("a=\udcff", ""),
        (",".join(f"k{number}=v" for number in range(33)), ""),
        ("a=" + "x" * 256, "a=" + "x" * 256),
        ("a=" + "x" * 257, ""),
        ("a=" + "x" * 2**20, ""),
    ],
)
def test_a_tracestate(given_: str, kept: str) -> None:
    """A list of members within its bounds, or nothing."""
    assert text.tracestate(given_) == kept


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_kept_can_be_sent(given_: str) -> None:
    """Accepted text can be encoded by every encoder."""
    if text.is_name(given_):
        given_.encode()
    text.traceparent(given_).encode("ascii")
    text.tracestate(given_).encode("ascii")
