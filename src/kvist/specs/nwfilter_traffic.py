"""The tables of what the host's firewall sees of the packets of a card: one class a protocol, one line a condition."""

from __future__ import annotations

from kvist.specs.nwfilter_ethernet import FORMAT, Ipv4Ends, Ipv6Ends, Match, Ports
from kvist.specs.nwfilter_values import (
    BYTE,
    COUNT,
    DSCP,
    FLAGS,
    IPSET,
    IPSET_FLAGS,
    IPV4,
    IPV6,
    MAC,
    STATE,
    span,
)
from kvist.xml.field import LIVE, attr, pair
from kvist.xml.spec import Spec


class Traffic(Match):
    """What is looked at by the host's firewall, which knows connections."""

    PAGE = f"{FORMAT}#tcp-udp-sctp"

    source_mac: str | None = attr("@srcmacaddr", MAC, applies=LIVE, doc="Sender's MAC address.", default=None)
    dscp: str | None = attr("@dscp", DSCP, applies=LIVE, doc="Class of service: 0 to 63.", default=None)
    connlimit_above: str | None = attr(
        "@connlimit-above",
        COUNT,
        applies=LIVE,
        doc="Met by a sender that has more connections than this.",
        page=f"{FORMAT}#limiting-number-of-connections",
        default=None,
    )
    state: str | None = attr(
        "@state",
        STATE,
        applies=LIVE,
        doc="States of the connection: NEW,ESTABLISHED,RELATED,INVALID or NONE.",
        default=None,
    )
    ipset: str | None = attr(
        "@ipset", IPSET, applies=LIVE, doc="Set of the host's that an address is in.", default=None
    )
    ipset_flags: str | None = attr(
        "@ipsetflags",
        IPSET_FLAGS,
        applies=LIVE,
        doc="What is looked up in that set: src, dst, src,dst ...",
        default=None,
    )


class Ipv4Traffic(Traffic, Ipv4Ends):
    """Connections of IPv4."""

    source_range: str | None = pair(
        *("@srcipfrom", "srcipto", "-", span(IPV4)), applies=LIVE, doc="Sender's addresses, FIRST-LAST.", default=None
    )
    dest_range: str | None = pair(
        *("@dstipfrom", "dstipto", "-", span(IPV4)), applies=LIVE, doc="Receiver's addresses, FIRST-LAST.", default=None
    )


class Ipv6Traffic(Traffic, Ipv6Ends):
    """Connections of IPv6."""

    source_range: str | None = pair(
        *("@srcipfrom", "srcipto", "-", span(IPV6)), applies=LIVE, doc="Sender's addresses, FIRST-LAST.", default=None
    )
    dest_range: str | None = pair(
        *("@dstipfrom", "dstipto", "-", span(IPV6)), applies=LIVE, doc="Receiver's addresses, FIRST-LAST.", default=None
    )


class Messages(Spec):
    """What ICMP says."""

    PAGE = f"{FORMAT}#icmp"

    type: str | None = attr("@type", BYTE, applies=LIVE, doc="Type of the message of ICMP: 8 is a ping.", default=None)
    code: str | None = attr("@code", BYTE, applies=LIVE, doc="Code of the message of ICMP.", default=None)


class TcpMatch(Ipv4Traffic, Ports):
    """TCP over IPv4."""

    TAG = "tcp"

    flags: str | None = attr(
        "@flags",
        FLAGS,
        applies=LIVE,
        doc="Flags looked at, a slash, and those that are set: SYN,ACK/SYN.",
        default=None,
    )


class UdpMatch(Ipv4Traffic, Ports):
    """UDP over IPv4."""

    TAG = "udp"


class SctpMatch(Ipv4Traffic, Ports):
    """SCTP over IPv4."""

    TAG = "sctp"


class IcmpMatch(Ipv4Traffic, Messages):
    """ICMP: pings and complaints of IPv4."""

    TAG = "icmp"
    PAGE = f"{FORMAT}#icmp"


class IgmpMatch(Ipv4Traffic):
    """IGMP: members of multicast groups of IPv4."""

    TAG = "igmp"
    PAGE = f"{FORMAT}#igmp-esp-ah-udplite-all"


class EspMatch(IgmpMatch):
    """ESP: encrypted IPv4."""

    TAG = "esp"


class AhMatch(IgmpMatch):
    """AH: signed IPv4."""

    TAG = "ah"


class UdpliteMatch(IgmpMatch):
    """UDP-Lite over IPv4."""

    TAG = "udplite"


class AllMatch(IgmpMatch):
    """All of IPv4."""

    TAG = "all"


class TcpIpv6Match(Ipv6Traffic, Ports):
    """TCP over IPv6."""

    TAG = "tcp-ipv6"
    PAGE = f"{FORMAT}#tcp-udp-sctp-over-ipv6"


class UdpIpv6Match(Ipv6Traffic, Ports):
    """UDP over IPv6."""

    TAG = "udp-ipv6"
    PAGE = f"{FORMAT}#tcp-udp-sctp-over-ipv6"


class SctpIpv6Match(Ipv6Traffic, Ports):
    """SCTP over IPv6."""

    TAG = "sctp-ipv6"
    PAGE = f"{FORMAT}#tcp-udp-sctp-over-ipv6"


class Icmpv6Match(Ipv6Traffic, Messages):
    """ICMPv6: pings, neighbours and complaints of IPv6."""

    TAG = "icmpv6"
    PAGE = f"{FORMAT}#icmpv6"


class EspIpv6Match(Ipv6Traffic):
    """ESP: encrypted IPv6."""

    TAG = "esp-ipv6"
    PAGE = f"{FORMAT}#esp-ah-udplite-all-over-ipv6"


class AhIpv6Match(EspIpv6Match):
    """AH: signed IPv6."""

    TAG = "ah-ipv6"


class UdpliteIpv6Match(EspIpv6Match):
    """UDP-Lite over IPv6."""

    TAG = "udplite-ipv6"


class AllIpv6Match(EspIpv6Match):
    """All of IPv6."""

    TAG = "all-ipv6"
