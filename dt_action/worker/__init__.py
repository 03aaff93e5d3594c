"""The agent that makes a machine a worker, and the probes that tell what the machine has."""
