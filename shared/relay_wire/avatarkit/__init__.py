"""AvatarKit: the JSON protocol of the vendor's official clients (facts 5.2 to 5.4), all generations at once.

``messages`` decodes what clients send, ``texts`` encodes for them, ``rounds`` selects the texts that one
client can use.
"""
