"""The process through which browsers reach the Airflows of this machine."""
