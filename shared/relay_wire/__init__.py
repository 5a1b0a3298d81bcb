"""The wire: frames, positions, events, messages, close codes and problems. Pure: no I/O, no clock, no task.

A port to another language implements this package and nothing else. Test vectors are in
``tests/contract/vectors/``.
"""
