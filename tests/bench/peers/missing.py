"""What is raised when a peer cannot run here."""


class Missing(Exception):
    """Raised when a part of a peer is not installed; the text says what to install."""
