"""Mutation testing of the code that decides, pays and remembers, in a throwaway copy and never in the work tree."""
