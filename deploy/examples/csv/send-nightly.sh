#!/usr/bin/env bash
# Sends the files that the tills left in a folder, and puts those that were sent aside. For cron:
#
#   15 2 * * *  shop  /opt/shop/send-nightly.sh /opt/shop/shop.yaml /srv/tills/out
#
# Kafka's address comes from STREAMGAUGE_BROKERS. Columns are the source's fields; times without an offset are the
# source's local time. A file that ends half sent is sent again the next night: orders have an identity, and count once
# as long as they come within `dedupe`.
set -euo pipefail
catalog=$1 folder=$2
mkdir -p "$folder/sent"
exec 9> "$folder/.lock"
flock --nonblock 9 || exit 0  # the last night's run is still at it
shopt -s nullglob
for file in "$folder"/*.csv; do
  streamgauge send "$catalog" orders "$file"
  mv "$file" "$folder/sent/"
done
