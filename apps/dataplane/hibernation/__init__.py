"""When a Deployment hibernates: a plan, and what it says of a moment. Free of Django and of planes,
so that portal and keeper read it alike.
"""
