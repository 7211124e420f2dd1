"""The registry of a cluster: the test of it, and images that go."""
