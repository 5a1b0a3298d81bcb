"""Turns: what may be published in a conversation, and when. Pure: no I/O, no clock."""
