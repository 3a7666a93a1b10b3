#!/bin/sh
# Written by kvist, and removed by it with the last port forward, exposed network and firewall policy of this host.
# libvirt makes its own rules anew after this hook, not before: ours come once it is done.
case "$2" in
reload) (sleep 2; [ ! -x /etc/kvist/restore ] || /etc/kvist/restore) </dev/null >/dev/null 2>&1 & ;;
esac
exit 0
