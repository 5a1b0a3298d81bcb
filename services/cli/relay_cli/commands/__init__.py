"""The commands that are not a folder of their own. Each imports what it needs when it runs: its extra."""
