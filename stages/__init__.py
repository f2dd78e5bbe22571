"""What is done: six stages, and the rooms they draw on (films, learning, statistics, reporting, proof)."""
