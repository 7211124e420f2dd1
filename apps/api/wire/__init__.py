"""What all operations share: the gate, ids, pages of lists, shapes of errors."""
