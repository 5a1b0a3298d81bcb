"""The wire: frames, positions, events, codes and the turn machine. Pure: no I/O, no clock, no task.

Everything a port to another language must agree on is in this package, and only here. Test vectors
are in ``tests/contract/vectors/``.
"""
