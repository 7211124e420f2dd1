"""What happens to backups without a person: writing them, schedules, retention."""
