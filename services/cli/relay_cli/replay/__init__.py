"""``avatar-relay replay``: a recording, played through a gateway."""
