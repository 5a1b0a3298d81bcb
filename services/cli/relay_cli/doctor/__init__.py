"""Doctor: checks the relay's environment, and names the setting and the fix for each fault."""
