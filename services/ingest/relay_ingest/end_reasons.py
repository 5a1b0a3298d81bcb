"""Reasons of the end of a conversation that the relay itself gives."""

DEFECT = "internal_error"
"""Its owner has failed."""
CLOSED = "closed"
"""The former owner had published the last frame."""
UNREADABLE = "unreadable_record"
"""Its record is damaged."""
