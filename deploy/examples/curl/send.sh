#!/usr/bin/env bash
# Sends one order, then a file of them, to `streamgauge serve`. Takes its address from STREAMGAUGE_URL and, where it
# asks for one, a token from STREAMGAUGE_TOKEN_FILE (made with: streamgauge token make shop --right send:orders).
set -euo pipefail
url=${STREAMGAUGE_URL:-http://127.0.0.1:8080}/api/v1/events/orders
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)

# --fail-with-body: not stored is an exit code. --retry: 429 and 503 come again after the time that Retry-After says;
# since every order has an identity, none is counted twice.
send=(curl --silent --show-error --fail-with-body --retry 5 --max-time 30)
if [ -n "${STREAMGAUGE_TOKEN_FILE:-}" ]; then
  # From a file, since everybody on the machine can read arguments.
  send+=(--header @<(printf 'Authorization: Bearer %s\n' "$(cat "$STREAMGAUGE_TOKEN_FILE")"))
fi

"${send[@]}" "$url" --header 'Content-Type: application/json' \
  --data "{\"order_id\": \"curl-1\", \"ordered_at\": \"$now\", \"channel\": \"curl\", \"amount\": 19.90}"
echo

# Many at once: one object a line.
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
for number in 2 3 4; do
  echo "{\"order_id\": \"curl-$number\", \"ordered_at\": \"$now\", \"channel\": \"curl\", \"amount\": 10.10}"
done > "$lines"
"${send[@]}" "$url" --header 'Content-Type: application/x-ndjson' --data-binary "@$lines"
echo
