"""A pipelining Redis client: one server, Sentinel or Cluster, chosen by the URL.

``client`` sends commands, ``pubsub`` receives notifications. It knows no conversation: scripts, keys and
what a reply must look like belong to its caller.
"""
