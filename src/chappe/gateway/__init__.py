"""Where clients come in: listener, connections with their reader, writer and pump, and the router between them."""
