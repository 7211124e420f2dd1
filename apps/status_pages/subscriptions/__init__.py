"""People who get a page's messages by e-mail: subscribing, and the mail run."""
