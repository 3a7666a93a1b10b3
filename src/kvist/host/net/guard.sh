#!/bin/sh
# Makes a change to a host's network, and takes it back unless it is told in time that all is well.
#
#   guard.sh start|watch DIRECTORY SECONDS
#
# DIRECTORY holds the lists "forward" and "backward": a command a line, its words set apart by tabs, "-" before a command
# that may fail. A file "ok" in it ends the watch, a file "back" or the end of the time takes everything back. "state"
# says how far it is: made, kept, back. It removes the directory when it ends, whoever may have asked for it.
set -f
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH
directory=$2
seconds=$3
cd "$directory" || exit 1

if [ "$1" = start ]; then
    # A session of its own: neither the end of an ssh connection nor that of kvist reaches it.
    setsid sh "$directory/guard.sh" watch "$directory" "$seconds" </dev/null >/dev/null 2>&1 &
    echo "$!" >pid
    exit 0
fi

trap '' HUP INT
tab=$(printf '\t')

now() {
    read -r up _ </proc/uptime
    echo "${up%%.*}"
}

say() {
    echo "$1" >state.new && mv state.new state
}

# Carries a list out; the first word says whether it goes on past a command that failed.
each() {
    at_failure=$1
    list=$2
    wrong=0
    while IFS= read -r line; do
        IFS=$tab
        # shellcheck disable=SC2086  # the line is to fall into its words
        set -- $line
        unset IFS
        may_fail=no
        if [ "$1" = - ]; then
            may_fail=yes
            shift
        fi
        # A program that stays, such as a DHCP client, is not to stay in this directory.
        (cd / && exec "$@") </dev/null >said 2>&1 && continue
        if [ "$may_fail" = yes ]; then
            cat said >>tolerated
            continue
        fi
        wrong=1
        printf '%s: %s\n' "$*" "$(cat said)" >>trouble
        [ "$at_failure" = stop ] && break
    done <"$list"
    return "$wrong"
}

leave() {
    tries=25
    until [ -e seen ] || [ "$tries" -le 0 ]; do
        sleep 0.2
        tries=$((tries - 1))
    done
    cd / && rm -rf "$directory"
    exit 0
}

if each stop forward; then
    say made
    end=$(($(now) + seconds))
    until [ -e ok ] || [ -e back ] || [ "$(now)" -ge "$end" ]; do
        sleep 0.1
    done
    if [ -e ok ]; then
        say kept
        leave
    fi
fi
each go-on backward
say back
leave
