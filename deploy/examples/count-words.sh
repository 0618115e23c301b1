#!/bin/sh
# Counts words, each exactly once, with nothing but curl and jq.
#
#   count-words.sh <input topic> <output topic> <group> <state file>
#
# It reads a batch of a session, makes one count per word of it, and hands counts and commit back in one
# transaction: both are stored or neither is. Kill it at any moment and start it again; the file keeps the
# name of its session, so that it goes on with the batch that was out instead of waiting for the session
# of its dead self to end. No Idempotency-Key is needed: a batch that is committed already is refused.
set -u
gateway=${EBBGATE_URL:-http://127.0.0.1:8082}
input=${1:-words} output=${2:-counts} group=${3:-word-count} state=${4:-./word-count.session}

post() { # path, body; prints the body of the answer, fails when the answer is no
  curl --silent --show-error --fail-with-body --max-time 90 \
    --header 'content-type: application/json' --data-binary "$2" "$gateway$1"
}

join_group() {
  made=$(post "/v1/groups/$group/sessions" \
    "{\"topics\":[\"$input\"],\"ttlMs\":${TTL_MS:-30000},\"processingMs\":${PROCESSING_MS:-60000}}") || return 1
  # Renamed into place: a kill in between leaves the old name or the new one.
  printf %s "$made" | jq -r .session >"$state.new" && mv "$state.new" "$state"
}

while :; do
  session=$(cat "$state" 2>/dev/null) || session=
  if [ -z "$session" ]; then
    join_group || sleep 0.2
    continue
  fi
  # No ack: the transaction commits. Until it has, this is the same batch again.
  if ! batch=$(post "/v1/sessions/$session/poll" '{"waitMs":2000}'); then
    case $batch in *UNKNOWN_SESSION*) rm -f "$state" ;; *) sleep 0.2 ;; esac
    continue
  fi
  if [ "$(printf %s "$batch" | jq -r .cursor)" = null ]; then continue; fi
  transaction=$(printf %s "$batch" | jq -c --arg session "$session" --arg topic "$output" '{
    records: (.records | group_by(.value) | map({topic: $topic, key: .[0].value, value: length})),
    commit: {session: $session, cursor: .cursor}
  }')
  # Refused or unheard: the next poll tells what is left to do.
  post /v1/transactions "$transaction" >/dev/null || sleep 0.1
done
