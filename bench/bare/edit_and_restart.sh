#!/bin/sh
# Change a card as it is done by hand: edit the definition, shut the guest down, wait until it is off, start it.
# usage: edit_and_restart.sh URI VM MAC STATE
set -eu
virt-xml --connect "$1" "$2" --edit "mac=$3" --network "link.state=$4" >/dev/null
virsh -q -c "$1" shutdown "$2" >/dev/null
tries=0
until [ "$(virsh -q -c "$1" domstate "$2")" = "shut off" ]; do
  tries=$((tries + 1))
  [ $tries -lt 300 ] || exit 1
  sleep 0.1
done
virsh -q -c "$1" start "$2" >/dev/null
