# Put a dump in the place of what is in the database, in one transaction: whatever ends it early
# leaves the database as it was. Airflow's sessions have to be gone, for as long as three looks.
set -u -o pipefail
dump=${PORTAL_DUMP:-/opt/portal/dump}/dump
others="SELECT count(*) FROM pg_stat_activity
  WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"

quiet=0
for _ in $(seq 1 "${PORTAL_LOOKS:-450}"); do
  count=$(psql --no-psqlrc --tuples-only --no-align --command="$others") || count=unknown
  if [ "$count" = 0 ]; then quiet=$((quiet + 1)); else quiet=0; fi
  [ "$quiet" -ge 3 ] && break
  sleep "${PORTAL_PAUSE:-2}"
done
if [ "$quiet" -lt 3 ]; then
  echo "error: Airflow still uses its database."
  exit 3
fi

# Without its last line nothing is kept, so a dump that cannot be read to its end changes nothing.
script() {
  cat <<'SQL'
BEGIN;
SET client_min_messages TO warning;
DO $$
DECLARE statement text;
BEGIN
  FOR statement IN
    SELECT format('DROP %s IF EXISTS %s CASCADE',
      CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
        WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, oid::regclass)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
    ORDER BY relkind = 'S'
  LOOP
    EXECUTE statement;
  END LOOP;
  FOR statement IN
    SELECT format('DROP %s IF EXISTS %s CASCADE',
      CASE typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, oid::regtype)
    FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
  LOOP
    EXECUTE statement;
  END LOOP;
END $$;
SQL
  # A newer pg_dump sets what older servers do not know.
  pg_restore --no-owner --no-privileges --file=- "$dump" |
    sed '1,60{/^SET transaction_timeout = 0;$/d}' || return
  if [ "$PORTAL_PAUSES_DAGS" = 1 ]; then echo 'UPDATE public.dag SET is_paused = true;'; fi
  echo 'COMMIT;'
}

script | psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 >/dev/null && echo "The dump is restored."
