"""How people reach the Airflow UI of a Deployment: tickets, roles, and the gateway to clusters."""
