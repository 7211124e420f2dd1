"""What people read about a disturbance or a maintenance, and its updates."""
