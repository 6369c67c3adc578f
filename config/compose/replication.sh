#!/usr/bin/env bash
# Runs once, when the primary is made: the replica may stream from it.
set -euo pipefail
echo 'host replication all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
