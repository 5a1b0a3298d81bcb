"""The command line: ``avatar-relay``. Runs the demo and the services, watches, finds what is wrong."""
