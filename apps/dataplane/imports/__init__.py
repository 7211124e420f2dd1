"""What is known of Airflows that come from elsewhere, and of the dumps they come in. Free of planes."""
