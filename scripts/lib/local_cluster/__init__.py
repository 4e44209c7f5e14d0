"""A one-node Kubernetes on this machine, through kind or as plain processes; it must never touch a foreign one."""
