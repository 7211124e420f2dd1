"""What is accepted as code, and the clean archive made of it, in a process with limits."""
