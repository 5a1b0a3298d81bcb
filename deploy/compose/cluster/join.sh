#!/bin/sh
# Join the six nodes into a cluster of three shards with a replica each, unless they are one.
set -eu
if ! redis-cli -h redis-cluster cluster info | grep -q cluster_state:ok; then
  nodes=$(getent ahostsv4 redis-cluster | awk '$2 == "STREAM" { print $1 ":6379" }')
  echo "joining $nodes" | tr '\n' ' '
  # shellcheck disable=SC2086 # one argument for each node
  redis-cli --cluster create $nodes --cluster-replicas 1 --cluster-yes
fi
trap 'exit 0' TERM
while :; do sleep 3600 & wait $!; done
