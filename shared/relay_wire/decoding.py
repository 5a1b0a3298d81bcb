"""Decoding: what a decoder of ours raises for input that it cannot read."""

import msgspec

UNREADABLE: tuple[type[Exception], ...] = (msgspec.MsgspecError, RecursionError, ValueError)
"""What a decoder raises for input that is not what it reads: every reader of outside data catches all of it.

``RecursionError`` is raised for input that is nested deeper than the decoder goes, and ``ValueError`` for
text that has no bytes in UTF-8 and for numbers out of range.
"""
