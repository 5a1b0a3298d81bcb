"""Dialects: the protocols of viewers.

``native`` is the relay's own, ``avatarkit_json`` and ``avatarkit_binary`` are those of the vendor's clients.
"""
