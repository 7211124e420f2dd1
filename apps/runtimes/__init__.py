"""The catalogue of runtimes, and notes about the runtime of a Deployment."""
