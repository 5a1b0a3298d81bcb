"""Usage: counts what each app uses per day, from the events of the outbox."""
