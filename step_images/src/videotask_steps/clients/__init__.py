"""One client a provider over plain HTTP; a client must never log a key or the query of a signed address."""
