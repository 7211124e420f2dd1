"""What people want to be told of: kinds of rules, whom they match, their pages."""
