"""kopf: events become keys in a queue, nothing else; no handler here writes to the cluster or decides."""
