"""Clips: the rendering of speech that turns speak later."""
