"""The data plane of the tests."""
