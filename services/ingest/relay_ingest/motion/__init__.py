"""Motion: from the speech of a conversation to the payloads of Motion Server."""
