"""Jobs: what may take its time and must not be lost."""
