"""What keeps Deployments going: backups, upgrades, and where their packages come from."""
