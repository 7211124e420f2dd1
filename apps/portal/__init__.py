"""The frame of the product: home, search, navigation, setup, error pages. Above all other apps."""
