#!/bin/sh
# Written by kvist, and removed by it with the last port forward, exposed network and firewall policy of this host.
# A failure here would keep the network from starting: it is told in libvirt's log, and no more than that.
case "$2" in
started) /etc/kvist/restore </dev/null || echo "kvist: its packet rules are not in force" >&2 ;;
esac
exit 0
