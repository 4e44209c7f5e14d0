// The process that holds a pod's namespaces open. Used by scripts/cluster.
module videotask.dev/tools/pause

go 1.25.0
