"""The paid services' wire formats on loopback, with real media and faults on demand; it imports nothing of ours."""

__version__ = "0.1.0"
