"""What every app uses, without tables: errors, encryption, forms, gates, logs, template tags."""
