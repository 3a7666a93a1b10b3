#!/bin/sh
# Written by kvist, and removed by it with the last of this host's port forwards, exposed networks, policies and passes.
# Puts them in force again; libvirt's hooks call it when a network or a guest has started. Needs nothing of kvist's.
#
#   restore             all of it
#   restore firewall    what standard input says of the firewall's tables, instead of all that they have
PATH=/usr/sbin:/usr/bin:/sbin:/bin
at=/etc/kvist
bit=0x08000000
why="kvist: port forwards and exposed networks"

# Guests that are started at once call this at once: one after the other.
exec 9<"$0"
flock -w 20 9

# The maps of interfaces are emptied first: what they lead to may go.
emptied() {
    for map in "source { type ifname : mark; }" "leaving { type ifname : verdict; }"; do
        printf 'add table bridge kvist-fw\nadd map bridge kvist-fw %s\nflush map bridge kvist-fw %s\n' "$map" "${map%% *}"
    done
}

# Says which interface belongs to which card: the names that cards have from their next start on, and those of the taps
# that are there, which have the address of the card but for the first byte.
taps() {
    { cat "$at/firewall.cards"; grep -H . /sys/class/net/*/address 2>/dev/null; } | awk '
        function put(tap, mark, chain) {
            printf "add element bridge kvist-fw source { \"%s\" : %s }\n", tap, mark
            if (chain != "-") printf "add element bridge kvist-fw leaving { \"%s\" : goto %s }\n", tap, chain
        }
        NF == 4 { mark[$1] = $2; chain[$1] = $3; own[$1] = $4; put($4, $2, $3); next }
        {
            split($1, part, "/")
            address = substr($1, index($1, ":") + 1)
            card = substr(address, 4)
            if (substr(address, 1, 1) == "f" && card in mark && part[5] != own[card]) put(part[5], mark[card], chain[card])
        }'
}

firewall() { { emptied; cat; taps; } | nft -f -; }

if [ "$1" = firewall ]; then
    firewall
    exit
fi

[ ! -f "$at/firewall.nft" ] || firewall <"$at/firewall.nft" || wrong=1

# Rules in chains of others (Docker, somebody's own table) that let bridges of guests by: kvist host check --fix.
let_by() {
    case "$1" in
    nft)
        nft list chain $5 "$4" | grep -q "^[[:space:]]*${2}ifname \"$3\" accept\$" ||
            nft insert rule $5 "$4" "${2}ifname" "$3" accept
        ;;
    *)
        "$1" -w 10 -t "$5" -C "$4" "-$2" "$3" -j ACCEPT || "$1" -w 10 -t "$5" -I "$4" "-$2" "$3" -j ACCEPT
        ;;
    esac
}
if [ -f "$at/passes" ]; then
    while read -r tool bridge chain table; do
        for way in i o; do
            # Where a chain is gone, it stops nobody.
            let_by "$tool" "$way" "$bridge" "$chain" "$table" 2>/dev/null || :
        done
    done <"$at/passes"
fi

[ -f "$at/crossing.nft" ] || exit "${wrong:-0}"

# Where no systemd has it running, the watch on firewalld is begun here; one that runs already stays the only one.
if [ -x "$at/watch" ] && [ ! -d /run/systemd/system ]; then
    setsid "$at/watch" </dev/null >/dev/null 2>&1 9<&- &
fi

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

[ -f "$at/crossing.ports" ] || exit "${wrong:-0}"
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
exit "${wrong:-0}"
