"""Control: the API for the app's backend. REST for conversations and turns, a socket for live speech."""
