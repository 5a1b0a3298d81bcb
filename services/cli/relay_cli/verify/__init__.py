"""Verify: drives a running relay from outside, and compares what every viewer received with what was sent.

``order``, ``turn``, ``recovery`` and ``tally`` are the comparison, without I/O and clock; ``watcher``,
``speaker`` and ``conversation`` drive the relay; ``verification`` is the whole run.
"""
