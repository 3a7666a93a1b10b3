#!/bin/sh
# Written by kvist, and removed by it with the last port forward, exposed network and firewall policy of this host.
# A failure after the start would keep the guest from running: it is told in libvirt's log, and no more than that. But a
# guest whose firewall policy nobody has put in force here does not start: it would run without it.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
at=/etc/kvist
case "$2" in
prepare)
    document=$(cat)
    case "$document" in
    *'<kvist:fw>off</kvist:fw>'*) ;;
    # libvirt itself does not start a guest whose filter is not there.
    *"<filterref filter='kvist-fw-"*) ;;
    *'<kvist:fw>'*)
        known=no
        for mac in $(printf '%s\n' "$document" | sed -n "s/.*<mac address=[\"']\([^\"']*\)[\"'].*/\1/p"); do
            ! grep -qi "^${mac#??:} " "$at/firewall.cards" 2>/dev/null || known=yes
        done
        if [ "$known" = no ]; then
            echo "kvist: the firewall policy of VM $1 is not in force on this host: kvist fw restore" >&2
            exit 1
        fi
        # The first guest after a boot of the host, or after a flush of all rules.
        nft list table bridge kvist-fw >/dev/null 2>&1 || "$at/restore" </dev/null || exit 1
        ;;
    esac
    ;;
started | reconnect) "$at/restore" </dev/null || echo "kvist: its packet rules are not in force" >&2 ;;
stopped) [ ! -f "$at/firewall.cards" ] || "$at/restore" firewall </dev/null ;;
esac
exit 0
