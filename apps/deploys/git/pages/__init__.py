"""Pages of repositories, and of what a Deployment takes from them."""
