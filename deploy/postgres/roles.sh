#!/bin/sh
# Makes the roles and databases of Perdure and of Temporal, when a volume is new. Neither role is a
# superuser, and neither can reach what belongs to the other.
set -eu
psql --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname=postgres \
  --set=perdure="$PERDURE_DATABASE_PASSWORD" --set=temporal="$TEMPORAL_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE perdure LOGIN PASSWORD :'perdure';
CREATE ROLE temporal LOGIN PASSWORD :'temporal';
CREATE DATABASE perdure OWNER perdure;
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT ON DATABASE perdure, temporal, temporal_visibility FROM PUBLIC;
SQL
