"""Proof that the tests notice: each patch breaks one promise in a throwaway copy; the work tree is never touched."""
