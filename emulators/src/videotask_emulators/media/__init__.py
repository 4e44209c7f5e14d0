"""Real media made on the spot from a prompt; pure functions that run in worker processes and never touch the network."""
