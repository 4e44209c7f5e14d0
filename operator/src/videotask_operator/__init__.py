"""The operator: watches VideoTasks, decides, records, runs one Job per step; it must never see a provider's key."""
