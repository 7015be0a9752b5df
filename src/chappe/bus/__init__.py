"""The bus between gateways: it wakes devices elsewhere; what it loses is noticed and read from the store."""
