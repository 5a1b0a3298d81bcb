"""Streams: the only code that talks to Redis.

``publisher`` appends an owner's frames, ``puller`` reads what moved, ``ownership`` decides who owns a
conversation, ``uplink`` carries speech and reports to the owner, ``conversations`` keeps the records.
Every write that must hold together is one Lua script in ``scripts/``, so it is atomic on one Redis,
Sentinel, Cluster and Valkey alike: all keys a script touches share the partition's hash tag.
"""
