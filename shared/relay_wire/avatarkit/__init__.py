"""Compat: the JSON protocol of the vendor's official clients (facts 5.2 to 5.4), all generations at once.

``messages`` is what clients say, ``texts`` what they are told, ``rounds`` what of it one client can use.
"""
