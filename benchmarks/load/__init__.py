"""Load: many services in one process, many accounts on several replicas, against the sandbox (docs/reliability.md)."""
