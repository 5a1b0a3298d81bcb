"""The generated files of the Helm chart: the settings in its schema, and its README."""
