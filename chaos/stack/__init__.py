"""What is broken: nodes of Chappe as processes, the stores and the bus they need, and a balancer in front."""
