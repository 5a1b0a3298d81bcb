"""A pipelining Redis client: one server, Sentinel or Cluster, chosen by the URL.

``client`` sends commands, ``pubsub`` receives messages. The package knows no conversation: its caller's
scripts and key types come in as a ``Schema``.
"""
