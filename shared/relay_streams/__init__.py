"""Streams: the relay's data in Redis.

``publisher`` appends an owner's frames, ``consumer`` reads streams with new entries, ``leases`` has the
ownership of conversations, ``uplink`` appends speech and reports for the owner, ``conversations`` has the
records. Writes that belong together are one Lua script in ``scripts/``, so they are atomic on a single Redis,
Sentinel, Cluster and Valkey alike: all keys of a script have the partition's hash tag.
"""
