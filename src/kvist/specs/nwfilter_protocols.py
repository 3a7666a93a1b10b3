"""The protocols that a rule of a network filter can be about."""

from __future__ import annotations

from typing import Final, Literal

from kvist.specs.nwfilter_ethernet import ArpMatch, IpMatch, Ipv6Match, MacMatch, Match, RarpMatch, StpMatch, VlanMatch
from kvist.specs.nwfilter_traffic import (
    AhIpv6Match,
    AhMatch,
    AllIpv6Match,
    AllMatch,
    EspIpv6Match,
    EspMatch,
    IcmpMatch,
    Icmpv6Match,
    IgmpMatch,
    SctpIpv6Match,
    SctpMatch,
    TcpIpv6Match,
    TcpMatch,
    UdpIpv6Match,
    UdpliteIpv6Match,
    UdpliteMatch,
    UdpMatch,
)

ProtocolName = Literal[
    "mac", "vlan", "stp", "arp", "rarp", "ip", "ipv6", "tcp", "udp", "sctp", "icmp", "igmp", "esp", "ah", "udplite",
    "all", "tcp-ipv6", "udp-ipv6", "sctp-ipv6", "icmpv6", "esp-ipv6", "ah-ipv6", "udplite-ipv6", "all-ipv6",
]  # fmt: skip
"""The names, for type checkers and for what a line may say."""

PROTOCOLS: Final[dict[str, type[Match]]] = {
    kind.TAG: kind
    for kind in (
        *(MacMatch, VlanMatch, StpMatch, ArpMatch, RarpMatch, IpMatch, Ipv6Match),
        *(TcpMatch, UdpMatch, SctpMatch, IcmpMatch, IgmpMatch, EspMatch, AhMatch, UdpliteMatch, AllMatch),
        *(TcpIpv6Match, UdpIpv6Match, SctpIpv6Match, Icmpv6Match, EspIpv6Match, AhIpv6Match, UdpliteIpv6Match),
        AllIpv6Match,
    )
}
"""The protocols by their names."""

ON_ETHERNET: Final = ("mac", "vlan", "stp", "arp", "rarp", "ip", "ipv6")
"""Those that are looked at by ebtables, before the host's firewall sees a packet; they alone stand in chains."""
