"""The six steps as programs; a step knows no database and no Kubernetes and spends only what its run reserved."""
