"""What serving costs: capacity, replicas over a load, and the cheapest size within the objective."""
