-- Make a Deployment's roles and its database. Safe to repeat. Read by psql 15 or newer, with the
-- server's own password, which Airflow never sees.
\set ON_ERROR_STOP on
SET client_min_messages TO warning;
\getenv owner PORTAL_DATABASE
\getenv owner_password PORTAL_DATABASE_PASSWORD
\getenv reader PORTAL_READER
\getenv reader_password PORTAL_READER_PASSWORD

SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY[:'owner', :'reader']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE :"owner" LOGIN PASSWORD :'owner_password';
ALTER ROLE :"reader" LOGIN PASSWORD :'reader_password';

-- Who makes a database must be a member of the role that is to own it.
GRANT :"owner" TO CURRENT_USER;
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0', :'owner', :'owner')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'owner') \gexec
REVOKE CONNECT, TEMPORARY ON DATABASE :"owner" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"owner" TO :"reader";
