"""Long-lived workers under the node's supervisor that serve all connections at once."""
