"""Webhooks: events as signed requests to the app's backend, at least once, with a list of dead letters."""
