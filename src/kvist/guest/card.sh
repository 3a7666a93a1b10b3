#!/bin/sh
# Brings a card of a guest up by DHCP, with whichever program the guest sets its network up by: card.sh INTERFACE
# What is written is gone at the guest's next boot.
card=$1

has() {
    command -v "$1" >/dev/null 2>&1
}

ip link set dev "$card" up || ifconfig "$card" up
if has nmcli && nmcli -t general status >/dev/null 2>&1; then
    exec nmcli --wait 5 device connect "$card"
elif has networkctl && [ -d /run/systemd/netif/links ]; then
    mkdir -p /run/systemd/network
    printf '[Match]\nName=%s\n\n[Network]\nDHCP=yes\n' "$card" >"/run/systemd/network/70-kvist-$card.network"
    exec networkctl reload
elif has dhclient; then
    exec dhclient -nw "$card"
elif has dhcpcd; then
    exec dhcpcd --background "$card"
elif has udhcpc; then
    exec udhcpc -b -i "$card" -t 3 -T 1
fi
echo "no program here asks for an address" >&2
exit 3
