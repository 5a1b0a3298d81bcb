"""Reaper: ends conversations that nobody uses any more, and removes what they leave behind."""
