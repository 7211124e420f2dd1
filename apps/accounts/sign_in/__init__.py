"""How allauth signs people in here: adapter and addresses."""
