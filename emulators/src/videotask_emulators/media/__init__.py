"""Real media made on the spot from a prompt: functions for worker processes that never touch the network."""
