"""The table of a network."""

from __future__ import annotations

from kvist.values import AddressRange, Cidr, Mac, PciAddress, Size
from kvist.xml.codec import (
    ADDRESS,
    CIDR,
    COUNT,
    INT,
    KIB,
    MAC,
    NAME,
    ON_OFF,
    PATH,
    UUID,
    VLAN,
    YES_NO,
    Codec,
    choice,
    number,
    shaped,
)
from kvist.xml.field import LIVE, RECREATE, REPLUG, aside, attr, items, many, pci, text
from kvist.xml.lists import listed
from kvist.xml.spec import Spec

RANGE: Codec[AddressRange] = Codec("address-range", AddressRange.parse)
HOSTNAME = shaped("hostname", r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?", "db.example.com")
SHORT = number(0, 65535, "short")
LEASE_UNIT = choice("seconds", "minutes", "hours")
FAMILY = choice("ipv4", "ipv6")
PREFIX = number(0, 128, "prefix")
MODES = ("nat", "route", "isolated", "open", "bridge", "macvtap", "hostdev", "ovs")
"""What kvist calls the kinds of networks; libvirt tells some of them apart by more than one element."""


class DhcpRange(Spec):
    """Addresses that the network's DHCP server gives out."""

    TAG = "range"
    PAGE = "https://libvirt.org/formatnetwork.html#addressing"

    start: str | None = attr("@start", ADDRESS, applies=LIVE, doc="First address.", default=None)
    end: str | None = attr("@end", ADDRESS, applies=LIVE, doc="Last address.", default=None)
    expiry: int | None = attr("lease/@expiry", INT, applies=LIVE, doc="How long a lease lasts.", default=None)
    unit: str | None = attr("lease/@unit", LEASE_UNIT, applies=LIVE, doc="What that counts.", default=None)


class DhcpHost(Spec):
    """A reservation: the address and the name that one guest is given."""

    TAG = "host"
    PAGE = "https://libvirt.org/formatnetwork.html#addressing"

    mac: Mac | None = attr("@mac", MAC, applies=LIVE, doc="MAC address of the guest's card.", default=None)
    id: str | None = attr("@id", applies=LIVE, doc="DHCPv6 identifier of the guest.", default=None)
    name: str | None = attr("@name", applies=LIVE, doc="Name the guest is given and found by.", default=None)
    ip: str | None = attr("@ip", ADDRESS, applies=LIVE, doc="Address the guest is given.", default=None)
    expiry: int | None = attr("lease/@expiry", INT, applies=LIVE, doc="How long its lease lasts.", default=None)
    unit: str | None = attr("lease/@unit", LEASE_UNIT, applies=LIVE, doc="What that counts.", default=None)


class Ip(Spec):
    """A subnet of a network: the host's address in it, and what DHCP gives out there."""

    TAG = "ip"
    PAGE = "https://libvirt.org/formatnetwork.html#addressing"
    FIRST = ("address",)
    ORDER = ("tftp", "dhcp", "range", "host", "bootp")

    address: str | None = attr(
        "@address", ADDRESS, applies=REPLUG, doc="Address of the host, the guests' gateway.", default=None
    )
    prefix: int | None = attr("@prefix", PREFIX, applies=REPLUG, doc="Length of the subnet's prefix.", default=None)
    netmask: str | None = attr("@netmask", ADDRESS, applies=REPLUG, doc="The same, as a mask.", default=None)
    family: str | None = attr("@family", FAMILY, applies=REPLUG, doc="Kind of address.", default=None)
    local_ptr: bool | None = attr(
        "@localPtr",
        YES_NO,
        applies=REPLUG,
        doc="Addresses of the subnet are asked of no other name server.",
        default=None,
    )
    tftp: str | None = attr("tftp/@root", applies=REPLUG, doc="Directory served by TFTP.", default=None)
    ranges: tuple[DhcpRange, ...] = many(
        "dhcp/range", DhcpRange, key=("start", "end"), applies=LIVE, doc="Addresses given out by DHCP.", default=()
    )
    hosts: tuple[DhcpHost, ...] = many(
        "dhcp/host", DhcpHost, key=("mac", "id", "ip"), applies=LIVE, doc="Addresses reserved for guests.", default=()
    )
    bootp_file: str | None = attr(
        "dhcp/bootp/@file", PATH, applies=REPLUG, doc="File that guests boot from over the network.", default=None
    )
    bootp_server: str | None = attr(
        "dhcp/bootp/@server", applies=REPLUG, doc="Server that has it, where that is another.", default=None
    )


class Route(Spec):
    """A route of the host into a subnet behind one of the guests."""

    TAG = "route"
    PAGE = "https://libvirt.org/formatnetwork.html#static-routes"
    FIRST = ("address", "gateway")

    family: str | None = attr("@family", FAMILY, applies=REPLUG, doc="Kind of address.", default=None)
    address: str | None = attr("@address", ADDRESS, applies=REPLUG, doc="The subnet's address.", default=None)
    prefix: int | None = attr("@prefix", PREFIX, applies=REPLUG, doc="Length of its prefix.", default=None)
    netmask: str | None = attr("@netmask", ADDRESS, applies=REPLUG, doc="The same, as a mask.", default=None)
    gateway: str | None = attr("@gateway", ADDRESS, applies=REPLUG, doc="Guest that leads there.", default=None)
    metric: int | None = attr("@metric", COUNT, applies=REPLUG, doc="What it costs; the least is taken.", default=None)


class DnsHost(Spec):
    """Names of an address, for the guests of a network."""

    TAG = "host"
    PAGE = "https://libvirt.org/formatnetwork.html#network-dns-host"
    FIRST = ("ip", "names")

    ip: str | None = attr("@ip", ADDRESS, applies=LIVE, doc="The address.", default=None)
    names: tuple[str, ...] | None = items("hostname", HOSTNAME, applies=LIVE, doc="Its names.", default=None)


class DnsTxt(Spec):
    """A text that the network's name server tells."""

    TAG = "txt"
    PAGE = "https://libvirt.org/formatnetwork.html#addressing"
    FIRST = ("name", "value")

    name: str | None = attr("@name", HOSTNAME, applies=LIVE, doc="Name it is asked by.", default=None)
    value: str | None = attr("@value", applies=LIVE, doc="The text.", default=None)


class DnsSrv(Spec):
    """Where a service is, as the network's name server tells it."""

    TAG = "srv"
    PAGE = "https://libvirt.org/formatnetwork.html#addressing"
    FIRST = ("service", "protocol")

    service: str | None = attr("@service", applies=LIVE, doc="The service: ldap.", default=None)
    protocol: str | None = attr("@protocol", choice("tcp", "udp"), applies=LIVE, doc="Its protocol.", default=None)
    domain: str | None = attr("@domain", HOSTNAME, applies=LIVE, doc="Domain it is asked in.", default=None)
    target: str | None = attr("@target", applies=LIVE, doc="Name of the machine that has it.", default=None)
    port: int | None = attr("@port", SHORT, applies=LIVE, doc="Its port there.", default=None)
    priority: int | None = attr("@priority", SHORT, applies=LIVE, doc="The least is asked first.", default=None)
    weight: int | None = attr("@weight", SHORT, applies=LIVE, doc="Its share among equals.", default=None)


class Forwarder(Spec):
    """A name server that is asked what the network's own does not know."""

    TAG = "forwarder"
    PAGE = "https://libvirt.org/formatnetwork.html#addressing"
    FIRST = ("addr", "domain")

    addr: str | None = attr("@addr", ADDRESS, applies=REPLUG, doc="Its address.", default=None)
    domain: str | None = attr("@domain", HOSTNAME, applies=REPLUG, doc="It is asked for this domain.", default=None)


class VirtualFunction(Spec):
    """A virtual card of the host that the network hands to a guest."""

    TAG = "address"
    PAGE = "https://libvirt.org/formatnetwork.html#connectivity"
    FIRST = ("pci",)

    pci: PciAddress | None = pci("", applies=REPLUG, doc="Its PCI address.", default=None)


class Traffic(Spec):
    """What may be said of the ports of a network or of one of its port groups."""

    PAGE = "https://libvirt.org/formatnetwork.html#connectivity"

    trust_guest_filters: bool | None = attr(
        "@trustGuestRxFilters",
        YES_NO,
        applies=REPLUG,
        doc="The host takes over what guests say of their MAC addresses.",
        default=None,
    )
    virtualport: str | None = attr(
        "virtualport/@type",
        choice("openvswitch", "802.1Qbg", "802.1Qbh", "midonet"),
        applies=REPLUG,
        doc="Kind of switch behind the bridge, where it is not the kernel's.",
        default=None,
    )
    profile: str | None = attr(
        "virtualport/parameters/@profileid", applies=REPLUG, doc="Profile of the ports in that switch.", default=None
    )
    in_average: Size | None = attr(
        "bandwidth/inbound/@average", KIB, applies=REPLUG, doc="Bytes a second towards the guests.", default=None
    )
    in_peak: Size | None = attr(
        "bandwidth/inbound/@peak", KIB, applies=REPLUG, doc="Bytes a second towards them in a burst.", default=None
    )
    in_burst: Size | None = attr(
        "bandwidth/inbound/@burst", KIB, applies=REPLUG, doc="Bytes that may come at peak speed.", default=None
    )
    out_average: Size | None = attr(
        "bandwidth/outbound/@average", KIB, applies=REPLUG, doc="Bytes a second from the guests.", default=None
    )
    out_peak: Size | None = attr(
        "bandwidth/outbound/@peak", KIB, applies=REPLUG, doc="Bytes a second from them in a burst.", default=None
    )
    out_burst: Size | None = attr(
        "bandwidth/outbound/@burst", KIB, applies=REPLUG, doc="Bytes that may leave at peak speed.", default=None
    )
    vlan: tuple[int, ...] | None = items(
        "vlan/tag/@id", VLAN, applies=REPLUG, doc="VLAN tags of the ports, on a switch that has them.", default=None
    )
    native: str | None = attr(
        "vlan/tag/@nativeMode",
        choice("tagged", "untagged"),
        applies=REPLUG,
        doc="The first tag is that of packets without one.",
        default=None,
    )
    trunk: bool | None = attr(
        "vlan/@trunk", YES_NO, applies=REPLUG, doc="Packets keep their tags on the way to the guests.", default=None
    )


class PortGroup(Traffic):
    """A kind of ports of a network; a card says which it wants."""

    TAG = "portgroup"
    PAGE = "https://libvirt.org/formatnetwork.html#portgroups"
    FIRST = ("name",)
    ORDER = ("virtualport", "bandwidth", "vlan")

    name: str | None = attr("@name", NAME, applies=LIVE, doc="Name of the port group.", default=None)
    default: bool | None = attr(
        "@default", YES_NO, applies=LIVE, doc="It is that of the cards which name none.", default=None
    )


class Network(Traffic):
    """A network that VMs are plugged into."""

    TAG = "network"
    PAGE = "https://libvirt.org/formatnetwork.html"
    ORDER = (
        *("name", "uuid", "metadata", "forward", "bridge", "mtu", "mac", "domain", "dns", "bandwidth", "vlan", "port"),
        *("ip", "route", "virtualport", "portgroup", "{http://libvirt.org/schemas/network/dnsmasq/1.0}options"),
    )

    name: str | None = text("name", NAME, applies=RECREATE, doc="Name of the network.", default=None)
    uuid: str | None = text("uuid", UUID, applies=RECREATE, doc="Identity of the network.", default=None)
    made_by: str | None = attr(
        "metadata/kvist:network/@made-by", applies=REPLUG, doc="Who made it, and by what.", default=None
    )
    proxy_arp: str | None = attr(
        "metadata/kvist:network/@proxy-arp",
        applies=RECREATE,
        doc="Interface of the host on whose network its guests appear.",
        default=None,
    )
    exposed: tuple[str, ...] | None = items(
        "metadata/kvist:network/kvist:exposed/@from",
        applies=LIVE,
        doc="Interfaces of the host by which others may reach its guests; kvist net expose writes them.",
        default=None,
    )
    mode: str | None = aside(
        choice(*MODES), applies=REPLUG, doc="How guests reach the world, and the world them.", default=None
    )
    subnet: Cidr | None = aside(
        CIDR, applies=REPLUG, doc="IPv4 subnet; the host has its first address, or the one that is typed.", default=None
    )
    subnet6: Cidr | None = aside(CIDR, applies=REPLUG, doc="IPv6 subnet, likewise.", default=None)
    dhcp: tuple[AddressRange, ...] | None = aside(
        listed(RANGE), applies=LIVE, doc="Addresses that DHCP gives out: 10.10.0.100-200; none: no DHCP.", default=None
    )
    forward: str | None = attr(
        "forward/@mode",
        choice("nat", "route", "open", "bridge", "private", "vepa", "passthrough", "hostdev"),
        applies=REPLUG,
        doc="Libvirt's own word for how packets leave; --mode says it for you.",
        default=None,
    )
    dev: str | None = attr(
        "forward/@dev",
        applies=REPLUG,
        doc="Interface of the host that packets leave by.",
        default=None,
    )
    interfaces: tuple[str, ...] | None = items(
        "forward/interface/@dev", applies=LIVE, doc="Interfaces that cards are spread over.", default=None
    )
    pf: str | None = attr(
        "forward/pf/@dev", applies=REPLUG, doc="Card of the host whose virtual functions guests get.", default=None
    )
    functions: tuple[VirtualFunction, ...] = many(
        "forward/address[@type='pci']",
        VirtualFunction,
        key="pci",
        applies=REPLUG,
        doc="Virtual functions that guests get, one by one.",
        default=(),
    )
    managed: bool | None = attr(
        "forward/@managed",
        YES_NO,
        applies=REPLUG,
        doc="Libvirt takes the cards off their host driver and gives them back.",
        default=None,
    )
    driver: str | None = attr(
        "forward/driver/@name", choice("vfio", "kvm"), applies=REPLUG, doc="Driver that hands them over.", default=None
    )
    nat_ipv6: bool | None = attr(
        "forward/nat/@ipv6", YES_NO, applies=REPLUG, doc="IPv6 is translated too.", default=None
    )
    nat_start: str | None = attr(
        "forward/nat/address/@start", ADDRESS, applies=REPLUG, doc="First address guests appear by.", default=None
    )
    nat_end: str | None = attr(
        "forward/nat/address/@end", ADDRESS, applies=REPLUG, doc="Last address guests appear by.", default=None
    )
    nat_port_start: int | None = attr(
        "forward/nat/port/@start",
        number(1, 65535, "nat-port"),
        applies=REPLUG,
        doc="First port for it.",
        default=None,
    )
    nat_port_end: int | None = attr(
        "forward/nat/port/@end", number(1, 65535, "nat-port"), applies=REPLUG, doc="Last port for it.", default=None
    )
    guests_ipv6: bool | None = attr(
        "@ipv6", YES_NO, applies=REPLUG, doc="Guests may talk IPv6 to each other without a subnet.", default=None
    )
    bridge: str | None = attr("bridge/@name", applies=REPLUG, doc="Bridge that guests are plugged into.", default=None)
    zone: str | None = attr("bridge/@zone", applies=REPLUG, doc="Zone of firewalld that it belongs to.", default=None)
    stp: bool | None = attr("bridge/@stp", ON_OFF, applies=REPLUG, doc="It looks for loops.", default=None)
    delay: int | None = attr(
        "bridge/@delay",
        number(0, 2**31 - 1, "delay"),
        applies=REPLUG,
        doc="Seconds a new port only listens.",
        default=None,
    )
    mac_table: str | None = attr(
        "bridge/@macTableManager",
        choice("kernel", "libvirt"),
        applies=REPLUG,
        doc="Who keeps the bridge's table of addresses; libvirt floods no unknown ones.",
        default=None,
    )
    mac: Mac | None = attr("mac/@address", MAC, applies=REPLUG, doc="MAC address of the bridge.", default=None)
    mtu: int | None = attr(
        "mtu/@size", number(68, 65521, "mtu"), applies=REPLUG, doc="Bytes of the largest packet.", default=None
    )
    domain: str | None = attr("domain/@name", HOSTNAME, applies=REPLUG, doc="DNS domain of the guests.", default=None)
    domain_local: bool | None = attr(
        "domain/@localOnly",
        YES_NO,
        applies=REPLUG,
        doc="Names of that domain are asked of no other name server.",
        default=None,
    )
    dns: bool | None = attr("dns/@enable", YES_NO, applies=REPLUG, doc="It has a name server.", default=None)
    plain_names: bool | None = attr(
        "dns/@forwardPlainNames",
        YES_NO,
        applies=REPLUG,
        doc="Names without a dot are asked of other name servers too.",
        default=None,
    )
    forwarders: tuple[Forwarder, ...] = many(
        "dns/forwarder", Forwarder, key=("addr", "domain"), applies=REPLUG, doc="Name servers to ask.", default=()
    )
    dns_txts: tuple[DnsTxt, ...] = many(
        "dns/txt", DnsTxt, key=("name", "value"), applies=LIVE, doc="Texts that DNS tells.", default=()
    )
    dns_srvs: tuple[DnsSrv, ...] = many(
        "dns/srv",
        DnsSrv,
        key=("service", "protocol", "domain", "target", "port"),
        applies=LIVE,
        doc="Services that DNS tells of.",
        default=(),
    )
    dns_hosts: tuple[DnsHost, ...] = many(
        "dns/host", DnsHost, key="ip", applies=LIVE, doc="Names that DNS tells besides the guests'.", default=()
    )
    isolated_ports: bool | None = attr(
        "port/@isolated", YES_NO, applies=REPLUG, doc="Guests do not reach each other.", default=None
    )
    ips: tuple[Ip, ...] = many("ip", Ip, key="address", applies=REPLUG, doc="Its subnets.", default=())
    routes: tuple[Route, ...] = many(
        "route", Route, key=("address", "prefix", "netmask"), applies=REPLUG, doc="Subnets behind guests.", default=()
    )
    portgroups: tuple[PortGroup, ...] = many(
        "portgroup", PortGroup, key="name", applies=LIVE, doc="Kinds of ports, which cards name.", default=()
    )
    dnsmasq_options: tuple[str, ...] | None = items(
        "dnsmasq:options/dnsmasq:option/@value",
        applies=REPLUG,
        doc="Lines for the configuration of dnsmasq.",
        default=None,
    )
