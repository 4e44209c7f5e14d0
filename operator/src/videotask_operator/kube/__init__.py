"""The cluster port over Kubernetes: reads and writes its objects and takes no decision about a task."""
