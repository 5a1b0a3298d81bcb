"""Runtime: what every process of the relay is. Its life (signals, drain, exit), its tasks, its HTTP shell."""
