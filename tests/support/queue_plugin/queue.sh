#!/bin/sh
# A scheduler of its own: every job is a background process, and has a directory below $SUBMITIT_TEST_QUEUE.
#
#   queue.sh submit SCRIPT     prints "queued as ID"
#   queue.sh status            prints "ID STATE" a line
#   queue.sh cancel ID
set -eu
state=${SUBMITIT_TEST_QUEUE:?names the directory of the queue}

case $1 in
submit)
    id=1
    until mkdir "$state/$id" 2>/dev/null; do id=$((id + 1)); done
    cp "$2" "$state/$id/script"
    # The job's own session: cancelling ends all of it, and it outlives whoever submitted it.
    QUEUE_JOB_ID=$id setsid sh -c '
        cd /
        echo $$ >"$1/pid"
        code=0
        sh "$1/script" >"$1/out" 2>&1 || code=$?
        echo $code >"$1/exit.new"
        mv "$1/exit.new" "$1/exit"
    ' queue "$state/$id" </dev/null >/dev/null 2>&1 &
    echo "queued as $id"
    ;;
status)
    for job in "$state"/*/; do
        [ -d "$job" ] || continue
        id=$(basename "$job")
        if [ -e "$job/cancelled" ]; then
            echo "$id CANCELLED"
        elif [ ! -e "$job/exit" ]; then
            echo "$id RUNNING"
        elif [ "$(cat "$job/exit")" = 0 ]; then
            echo "$id COMPLETED"
        else
            echo "$id FAILED"
        fi
    done
    ;;
cancel)
    touch "$state/$2/cancelled"
    until [ -s "$state/$2/pid" ]; do sleep 0.01; done
    kill -KILL -"$(cat "$state/$2/pid")" 2>/dev/null || true
    ;;
*)
    echo "queue.sh: no such command: $1" >&2
    exit 2
    ;;
esac
