"""What several tests share: builders, servers, auditors; nothing of the product depends on it."""
