"""What is known of Airflows that come from elsewhere, and of their dumps. Free of planes."""
