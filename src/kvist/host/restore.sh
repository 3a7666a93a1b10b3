#!/bin/sh
# Written by kvist, and removed by it with the last port forward and exposed network of this host.
# Puts them in force again; libvirt's hooks call it when a network or a guest has started. Needs nothing of kvist's.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
at=/etc/kvist
bit=0x08000000
why="kvist: port forwards and exposed networks"

# Guests that are started at once call this at once: one after the other.
exec 9<"$0"
flock -w 20 9

nft -f "$at/crossing.nft" || exit 1

# libvirt rejects what is new on its way to a NAT network, and a verdict in a table of one's own does not outweigh that:
# so this one rule stands before libvirt's, and takes what kvist's own table has marked.
pass() { iptables -w 10 "$@" -m connmark --mark "$bit/$bit" -m comment --comment "$why" -j ACCEPT; }
if command -v iptables >/dev/null; then
    case "$(iptables -w 10 -S FORWARD | grep -m 1 -e "$why" -e '-j LIBVIRT_')" in
    *"$why"*) ;;
    *)
        while pass -D FORWARD 2>/dev/null; do :; done
        pass -I FORWARD
        ;;
    esac
fi
# libvirt has its rules here where its firewall_backend is nftables.
if chain=$(nft list chain ip libvirt_network forward 2>/dev/null); then
    case "$chain" in
    *"$why"*) ;;
    *) nft insert rule ip libvirt_network forward ct mark '&' "$bit" == "$bit" accept comment "\"$why\"" ;;
    esac
fi

[ -f "$at/crossing.ports" ] || exit 0
while read -r bridge card; do
    # A connection from 127.0.0.1 may leave by this bridge; kvist's table drops what would come in that way.
    allow=/proc/sys/net/ipv4/conf/$bridge/route_localnet
    [ ! -e "$allow" ] || [ "$(cat "$allow")" = 1 ] || echo 1 >"$allow"
    # A guest that calls itself by the host's address: the bridge gives a packet back by the port that it came from.
    for port in "/sys/class/net/$bridge/brif"/*; do
        [ -e "$port/hairpin_mode" ] || continue
        case "$(cat "/sys/class/net/${port##*/}/address")" in
        ??:"$card") echo 1 >"$port/hairpin_mode" ;;
        esac
    done
done <"$at/crossing.ports"
exit 0
