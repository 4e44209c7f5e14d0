"""The record in PostgreSQL; store functions take a session and never commit, the adaptor alone begins and ends."""
