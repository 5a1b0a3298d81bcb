"""Settings: the only code that reads the environment.

Every setting is ``RELAY_<NAME>``, a flag ``--<name>`` of its service's command, or a file named like
the variable in the directory ``RELAY_SECRETS_DIR`` (as Kubernetes mounts secrets); credentials of the
vendor keep the vendor's names, ``SPATIUS_*``. Secrets have no flag. Values are checked once, at start.
"""
