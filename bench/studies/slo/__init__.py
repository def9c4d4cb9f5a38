"""What a latency objective brings: real models, overload, tenants, replicas, the cache."""
