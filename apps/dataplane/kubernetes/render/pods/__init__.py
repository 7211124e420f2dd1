"""What pods are made of: environment, configuration, files, code, identity."""
