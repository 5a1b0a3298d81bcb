"""Recording files (``.avrec``): the frames of one conversation as published, with an index and a checksum.

The format is described in ``docs/guide/recordings.md``.
"""
