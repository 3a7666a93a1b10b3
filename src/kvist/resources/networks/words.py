"""The words that verbs on networks share."""

from __future__ import annotations

from typing import Final

from kvist.engine.ask import Ask

NAME: Final = Ask("name of the network", metavar="NAME", complete="network")

COMMON: Final = (*("mode", "subnet", "dhcp", "domain", "bridge", "dev", "mtu", "vlan"),)
"""Settings that --help shows; --help-all shows all."""
KEPT: Final = ("name", "uuid", "made_by", "proxy_arp", "exposed", "interfaces")
"""What nobody types: it is kvist's own, or follows from the rest."""
WISH: Final = Ask("settings of the network", group="Settings", common=COMMON, without=KEPT)

PORTGROUP: Final = Ask("a kind of ports that cards may name: NAME,vlan=10", metavar="SPEC", group="Lists")
DNS_HOST: Final = Ask("names of an address: 10.10.0.9,db.lab", metavar="SPEC", group="Lists")
DNS_TXT: Final = Ask("a text that DNS tells: NAME,TEXT", metavar="SPEC", group="Lists")
DNS_SRV: Final = Ask("a service that DNS tells of: ldap,tcp,target=a.lab,port=389", metavar="SPEC", group="Lists")
FORWARDER: Final = Ask("a name server to ask: ADDRESS,domain=example.com", metavar="SPEC", group="Lists")
ROUTE: Final = Ask("a subnet behind a guest: 10.20.0.0,10.10.0.2,prefix=24", metavar="SPEC", group="Lists")
