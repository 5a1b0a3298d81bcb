"""The gateway: viewers' WebSockets, nothing else. Stateless: any viewer can resume at any gateway."""
