"""``avatar-relay recordings``: what is stored, and what is not finished."""
