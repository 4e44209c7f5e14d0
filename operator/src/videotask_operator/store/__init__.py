"""The record in PostgreSQL; store functions take a session and never commit, the adaptor begins and ends."""
