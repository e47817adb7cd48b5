#!/bin/sh
# Runs a program of forkecho's lab on the servers of this package: forkecho-lab(1).
set -eu
examples=/usr/share/forkecho/examples
export BUILD=/usr/lib/forkecho PYTHONDONTWRITEBYTECODE=1
what=${1-}
[ $# -eq 0 ] || shift
case $what in
run) exec "$examples/lab/run" -o forkecho-lab "$@" ;;
gallery | timeline) exec "$examples/lab/$what" -o "forkecho-$what" "$@" ;;
expose) exec "$examples/hazards/expose" "$@" ;;
esac
echo 'usage: forkecho-lab run|gallery|timeline|expose [argument ...]; see forkecho-lab(1)' >&2
exit 2
