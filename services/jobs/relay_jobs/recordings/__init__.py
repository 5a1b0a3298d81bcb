"""Recordings: the frames of recorded conversations, copied to storage and joined into files."""
