"""Fan-out: the frames of each conversation, read once and sent to all its viewers."""
