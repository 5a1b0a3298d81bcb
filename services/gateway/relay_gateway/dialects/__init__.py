"""Dialects: the protocols viewers speak.

``native`` is our own, ``agent`` and ``host`` are those of the vendor's clients.
"""
