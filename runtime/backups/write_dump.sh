# Dump the metadata database while Airflow runs. What fails is told by the container that sends it.
cd "${PORTAL_DUMP:-/opt/portal/dump}" || exit 1
umask 027
pg_dump --no-password --format=custom --compress=6 --no-owner --no-privileges --file=dump 2>said
echo $? >status
