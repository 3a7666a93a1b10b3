#!/bin/sh
# Written by kvist, and removed by it with the last port forward and exposed network of this host.
# firewalld flushes the rules of everybody when it is reloaded, and libvirt makes its own anew when it hears of that, a
# moment later and without a hook: ours come behind that.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
busctl --system --match="type='signal',interface='org.fedoraproject.FirewallD1',member='Reloaded'" monitor |
    while read -r line; do
        case "$line" in
        *Member=Reloaded*)
            for pause in 1 2 4; do
                sleep "$pause"
                [ ! -x /etc/kvist/restore ] || /etc/kvist/restore
            done
            ;;
        esac
    done
