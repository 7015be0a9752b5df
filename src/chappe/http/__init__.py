"""What operators see over HTTP: metrics, health, the supervision tree. Chat never goes through here."""
