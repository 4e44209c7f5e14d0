"""A room for the board: it will deliver the outbox and read the board; nothing of it is furnished yet."""
