"""Decisions alone: no I/O, no clock, no randomness, no logging in here."""
