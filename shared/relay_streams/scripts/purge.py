"""Purge: keys of another type than the relay's are removed. The Redis client builds the call."""

from typing import Final

from relay_redis.replies import number
from relay_streams.scripts.lua import load

PURGE: Final = load("purge", number)
