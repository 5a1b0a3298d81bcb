"""The agents that come with the relay."""
