"""The pages on which members see the state of a status page, and those who may set it up."""
