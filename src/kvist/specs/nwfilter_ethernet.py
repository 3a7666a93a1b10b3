"""The tables of what a network filter sees on the Ethernet: one class a protocol, one line a condition."""

from __future__ import annotations

from typing import Final

from kvist.specs.nwfilter_values import (
    BYTE,
    COMMENT,
    DSCP,
    ETHERTYPE,
    GRATUITOUS,
    INNER_ETHERTYPE,
    IP_PROTOCOL,
    IPV4_MASKED,
    IPV6_MASKED,
    LONG,
    MAC,
    MAC_MASKED,
    OPCODE,
    SHORT,
    VLAN_ID,
    span,
)
from kvist.xml.codec import YES_NO
from kvist.xml.field import LIVE, attr, pair
from kvist.xml.spec import Spec

FORMAT: Final = "https://libvirt.org/formatnwfilter.html"


class Match(Spec):
    """What every protocol has."""

    PAGE = f"{FORMAT}#supported-protocols"

    match: bool | None = attr(
        "@match", YES_NO, applies=LIVE, doc="Off: each of these conditions must not be met.", default=None
    )
    comment: str | None = attr("@comment", COMMENT, applies=LIVE, doc="What the rule is for.", default=None)


class FromMac(Match):
    """What has a sender on the Ethernet, of which a part may be looked at."""

    source_mac: str | None = pair(
        *("@srcmacaddr", "srcmacmask", "/", MAC_MASKED),
        applies=LIVE,
        doc="Sender's MAC address, or MAC/MASK.",
        default=None,
    )


class Ethernet(FromMac):
    """What has a sender and a receiver on the Ethernet."""

    dest_mac: str | None = pair(
        *("@dstmacaddr", "dstmacmask", "/", MAC_MASKED),
        applies=LIVE,
        doc="Receiver's MAC address, or MAC/MASK.",
        default=None,
    )


class Ipv4Ends(Spec):
    """Both ends of a packet of IPv4."""

    source_ip: str | None = pair(
        *("@srcipaddr", "srcipmask", "/", IPV4_MASKED),
        applies=LIVE,
        doc="Sender's address, or ADDRESS/MASK.",
        default=None,
    )
    dest_ip: str | None = pair(
        *("@dstipaddr", "dstipmask", "/", IPV4_MASKED),
        applies=LIVE,
        doc="Receiver's address, or ADDRESS/MASK.",
        default=None,
    )


class Ipv6Ends(Spec):
    """Both ends of a packet of IPv6."""

    source_ip: str | None = pair(
        *("@srcipaddr", "srcipmask", "/", IPV6_MASKED),
        applies=LIVE,
        doc="Sender's address, or ADDRESS/MASK.",
        default=None,
    )
    dest_ip: str | None = pair(
        *("@dstipaddr", "dstipmask", "/", IPV6_MASKED),
        applies=LIVE,
        doc="Receiver's address, or ADDRESS/MASK.",
        default=None,
    )


class Ports(Spec):
    """Ports of both ends."""

    sport: str | None = pair(
        *("@srcportstart", "srcportend", "-", span(SHORT)),
        applies=LIVE,
        doc="Sender's port, or FIRST-LAST.",
        default=None,
    )
    dport: str | None = pair(
        *("@dstportstart", "dstportend", "-", span(SHORT)),
        applies=LIVE,
        doc="Receiver's port, or FIRST-LAST.",
        default=None,
    )


class MacMatch(Ethernet):
    """Any frame of Ethernet."""

    TAG = "mac"
    PAGE = f"{FORMAT}#mac-ethernet"

    protocolid: str | None = attr(
        "@protocolid", ETHERTYPE, applies=LIVE, doc="What the frame holds: arp, ipv4 ..., or its number.", default=None
    )


class VlanMatch(Ethernet):
    """A frame with a VLAN tag."""

    TAG = "vlan"
    PAGE = f"{FORMAT}#vlan-802-1q"

    vlanid: str | None = attr("@vlanid", VLAN_ID, applies=LIVE, doc="VLAN tag of the frame.", default=None)
    encap_protocol: str | None = attr(
        "@encap-protocol", INNER_ETHERTYPE, applies=LIVE, doc="What the tagged frame holds: arp, ipv4 ...", default=None
    )


class StpMatch(FromMac):
    """A message of the spanning tree protocol."""

    TAG = "stp"
    PAGE = f"{FORMAT}#stp-spanning-tree-protocol"

    type: str | None = attr("@type", BYTE, applies=LIVE, doc="Type of the message.", default=None)
    flags: str | None = attr("@flags", BYTE, applies=LIVE, doc="Flags of the message.", default=None)
    root_priority: str | None = pair(
        *("@root-priority", "root-priority-hi", "-", span(SHORT)),
        applies=LIVE,
        doc="Root's priority, or FIRST-LAST.",
        default=None,
    )
    root_address: str | None = pair(
        *("@root-address", "root-address-mask", "/", MAC_MASKED),
        applies=LIVE,
        doc="Root's MAC address, or MAC/MASK.",
        default=None,
    )
    root_cost: str | None = pair(
        *("@root-cost", "root-cost-hi", "-", span(LONG)),
        applies=LIVE,
        doc="Cost of the way to the root, or FIRST-LAST.",
        default=None,
    )
    sender_priority: str | None = pair(
        *("@sender-priority", "sender-priority-hi", "-", span(SHORT)),
        applies=LIVE,
        doc="Priority of the bridge that sends it, or FIRST-LAST.",
        default=None,
    )
    sender_address: str | None = pair(
        *("@sender-address", "sender-address-mask", "/", MAC_MASKED),
        applies=LIVE,
        doc="MAC address of the bridge that sends it, or MAC/MASK.",
        default=None,
    )
    port: str | None = pair(
        *("@port", "port-hi", "-", span(SHORT)), applies=LIVE, doc="Port of that bridge, or FIRST-LAST.", default=None
    )
    age: str | None = pair(
        *("@age", "age-hi", "-", span(SHORT)), applies=LIVE, doc="Age of the message, or FIRST-LAST.", default=None
    )
    max_age: str | None = pair(
        *("@max-age", "max-age-hi", "-", span(SHORT)),
        applies=LIVE,
        doc="Greatest age of it, or FIRST-LAST.",
        default=None,
    )
    hello_time: str | None = pair(
        *("@hello-time", "hello-time-hi", "-", span(SHORT)),
        applies=LIVE,
        doc="Time between greetings, or FIRST-LAST.",
        default=None,
    )
    forward_delay: str | None = pair(
        *("@forward-delay", "forward-delay-hi", "-", span(SHORT)),
        applies=LIVE,
        doc="Delay of forwarding, or FIRST-LAST.",
        default=None,
    )


class ArpMatch(Ethernet):
    """A message of ARP."""

    TAG = "arp"
    PAGE = f"{FORMAT}#arp-rarp"

    hwtype: str | None = attr("@hwtype", SHORT, applies=LIVE, doc="Kind of hardware: 1 is Ethernet.", default=None)
    protocoltype: str | None = attr(
        "@protocoltype", SHORT, applies=LIVE, doc="Kind of address asked for.", default=None
    )
    opcode: str | None = attr("@opcode", OPCODE, applies=LIVE, doc="What it asks or answers: Request ...", default=None)
    arp_source_mac: str | None = attr(
        "@arpsrcmacaddr", MAC, applies=LIVE, doc="MAC address that the sender claims in the message.", default=None
    )
    arp_dest_mac: str | None = attr(
        "@arpdstmacaddr", MAC, applies=LIVE, doc="MAC address that the message is for.", default=None
    )
    arp_source_ip: str | None = pair(
        *("@arpsrcipaddr", "arpsrcipmask", "/", IPV4_MASKED),
        applies=LIVE,
        doc="Address that the sender claims in the message, or ADDRESS/MASK.",
        default=None,
    )
    arp_dest_ip: str | None = pair(
        *("@arpdstipaddr", "arpdstipmask", "/", IPV4_MASKED),
        applies=LIVE,
        doc="Address that the message is about, or ADDRESS/MASK.",
        default=None,
    )
    gratuitous: str | None = attr(
        "@gratuitous", GRATUITOUS, applies=LIVE, doc="Whether nobody has asked for it: yes or no.", default=None
    )


class RarpMatch(ArpMatch):
    """A message of reverse ARP."""

    TAG = "rarp"


class IpMatch(Ethernet, Ipv4Ends, Ports):
    """A packet of IPv4, looked at on the Ethernet."""

    TAG = "ip"
    PAGE = f"{FORMAT}#ipv4"

    protocol: str | None = attr("@protocol", IP_PROTOCOL, applies=LIVE, doc="What it holds: tcp, udp ...", default=None)
    dscp: str | None = attr("@dscp", DSCP, applies=LIVE, doc="Class of service: 0 to 63.", default=None)


class Ipv6Match(Ethernet, Ipv6Ends, Ports):
    """A packet of IPv6, looked at on the Ethernet."""

    TAG = "ipv6"
    PAGE = f"{FORMAT}#ipv6"

    protocol: str | None = attr("@protocol", IP_PROTOCOL, applies=LIVE, doc="What it holds: tcp, udp ...", default=None)
    type: str | None = pair(
        *("@type", "typeend", "-", span(BYTE)),
        applies=LIVE,
        doc="Type of the message of ICMPv6, or FIRST-LAST.",
        default=None,
    )
    code: str | None = pair(
        *("@code", "codeend", "-", span(BYTE)),
        applies=LIVE,
        doc="Code of the message of ICMPv6, or FIRST-LAST.",
        default=None,
    )
