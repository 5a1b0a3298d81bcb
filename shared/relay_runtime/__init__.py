"""Runtime: the parts of every process: signals, drain and exit, tasks, and the HTTP server."""
