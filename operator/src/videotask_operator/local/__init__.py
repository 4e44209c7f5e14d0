"""The cluster port on a laptop: local processes and files; must never import the reconciler or the store."""
