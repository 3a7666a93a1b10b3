"""The table of a network card."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Self

from kvist.specs.nwfilter_values import VARIABLE_NAME, VARIABLE_VALUE
from kvist.values import Mac, PciAddress, Size
from kvist.xml.codec import (
    ADDRESS,
    ALIAS,
    COUNT,
    HOST,
    KIB,
    MAC,
    ON_OFF,
    PATH,
    UUID,
    VHOST,
    VLAN,
    YES_NO,
    choice,
    number,
)
from kvist.xml.field import LIVE, REPLUG, aside, attr, items, many, pci
from kvist.xml.lists import listed
from kvist.xml.spec import Spec

if TYPE_CHECKING:
    from kvist.xml.document import Element

MODELS = ("virtio", "e1000", "e1000e", "rtl8139", "vmxnet3", "igb", "ne2k_pci", "pcnet", "usb-net")
RARE_MODELS = (
    *("virtio-transitional", "virtio-non-transitional", "e1000-82544gc", "e1000-82545em", "ne2k_isa", "tulip"),
    *("rocker", "i82550", "i82551", "i82557a", "i82557b", "i82557c", "i82558a", "i82558b", "i82559a", "i82559b"),
    *("i82559c", "i82559er", "i82562", "i82801", "spapr-vlan", "lan9118", "smc91c111", "netfront", "vmxnet"),
    *("vmxnet2", "vlance", "Am79C970A", "Am79C973", "82540EM", "82545EM", "82543GC"),
)
"""What else QEMU and the other hypervisors of libvirt have. Capabilities do not tell the models, and libvirt passes any
other word on to QEMU, which then speaks of device_add."""


class FilterParameter(Spec):
    """A value that a card hands to its filter."""

    TAG = "parameter"
    PAGE = "https://libvirt.org/formatnwfilter.html#usage-of-variables-in-filters"
    VALUE = "value"

    name: str | None = attr(
        "@name", VARIABLE_NAME, applies=LIVE, doc="Variable of the filter, such as IP.", default=None
    )
    value: str | None = attr("@value", VARIABLE_VALUE, applies=LIVE, doc="Its value for this card.", default=None)


LENT = {"bridge": ("bridge",), "direct": ("dev", "mode")}
"""What libvirt makes of a card that runs on a network which is somebody else's bridge or interface: the type that such
a card has by itself, the attributes of its source, and beside them the network that was asked for."""


class Nic(Spec):
    """A network card of a VM."""

    TAG = "interface"
    PAGE = "https://libvirt.org/formatdomain.html#network-interfaces"
    UNION = "type"
    FIRST = ("network",)
    PARTS = ("source", "virtualport")
    KIN = ("network", "bridge")
    ORDER = (
        *("mac", "source", "virtualport", "vlan", "bandwidth", "port", "target", "guest", "model", "backend", "driver"),
        *("filterref", "tune", "link", "mtu", "coalesce", "boot", "rom", "alias", "address"),
    )

    type: str | None = attr(
        "@type",
        choice("network", "bridge", "direct", "user", "ethernet", "hostdev", "vhostuser", "vdpa"),
        applies=REPLUG,
        doc="How the card is connected to the host; network, bridge and the like imply it.",
        default=None,
    )
    mac: Mac | None = attr("mac/@address", MAC, applies=REPLUG, doc="MAC address the guest sees.", default=None)
    network: str | None = attr(
        "source/@network", when="network", applies=LIVE, doc="Libvirt network it is plugged into.", default=None
    )
    portgroup: str | None = attr(
        "source/@portgroup", when="network", applies=REPLUG, doc="Port group of that network.", default=None
    )
    bridge: str | None = attr(
        "source/@bridge", when="bridge", applies=LIVE, doc="Bridge of the host it is plugged into.", default=None
    )
    dev: str | None = attr(
        "source/@dev",
        when=("direct", "user", "vdpa"),
        applies=REPLUG,
        doc="Interface of the host it sits on (macvtap), or that user networking goes out by.",
        default=None,
    )
    mode: str | None = attr(
        "source/@mode",
        choice("bridge", "vepa", "private", "passthrough"),
        when="direct",
        applies=REPLUG,
        doc="How macvtap shares the interface.",
        default=None,
    )
    socket: str | None = attr(
        "source[@type='unix']/@path",
        PATH,
        when="vhostuser",
        applies=REPLUG,
        doc="Socket shared with a switch in user space.",
        default=None,
    )
    socket_mode: str | None = attr(
        "source[@type='unix']/@mode",
        choice("client", "server"),
        when="vhostuser",
        applies=REPLUG,
        doc="Which end of the socket QEMU is.",
        default=None,
    )
    device: PciAddress | None = pci(
        "source/address[@type='pci']",
        when="hostdev",
        applies=REPLUG,
        doc="Card of the host that is handed to the guest.",
        default=None,
    )
    managed: bool | None = attr(
        "@managed",
        YES_NO,
        when="hostdev",
        applies=REPLUG,
        doc="Libvirt takes the card off its host driver and gives it back.",
        default=None,
    )
    virtualport: str | None = attr(
        "virtualport/@type",
        choice("openvswitch", "802.1Qbg", "802.1Qbh", "midonet"),
        applies=REPLUG,
        doc="Kind of switch behind the bridge, where it is not the kernel's.",
        default=None,
    )
    interface_id: str | None = attr(
        "virtualport/parameters/@interfaceid", UUID, applies=REPLUG, doc="Port's identity in that switch.", default=None
    )
    model: str | None = attr(
        "model/@type",
        choice(*MODELS, rarely=RARE_MODELS),
        applies=REPLUG,
        doc="Model of card the guest sees.",
        default=None,
    )
    link: str | None = attr(
        "link/@state", choice("up", "down"), applies=LIVE, doc="Whether the cable is plugged in.", default=None
    )
    filter: str | None = attr("filterref/@filter", applies=LIVE, doc="Network filter its packets pass.", default=None)
    filter_parameters: tuple[FilterParameter, ...] = many(
        "filterref/parameter",
        FilterParameter,
        key="name",
        applies=LIVE,
        doc="Values for the filter's variables.",
        default=(),
    )
    vlan: tuple[int, ...] | None = items(
        "vlan/tag/@id", VLAN, applies=LIVE, doc="VLAN tags of the port, on a switch that has them.", default=None
    )
    trunk: bool | None = attr(
        "vlan/@trunk", YES_NO, applies=LIVE, doc="Packets keep their tags on the way to the guest.", default=None
    )
    isolated: bool | None = attr(
        "port/@isolated",
        YES_NO,
        applies=LIVE,
        doc="The card reaches the bridge's other ports only if they are not isolated too.",
        default=None,
    )
    in_average: Size | None = attr(
        "bandwidth/inbound/@average", KIB, applies=LIVE, doc="Bytes a second towards the guest.", default=None
    )
    in_peak: Size | None = attr(
        "bandwidth/inbound/@peak", KIB, applies=LIVE, doc="Bytes a second towards it in a burst.", default=None
    )
    in_burst: Size | None = attr(
        "bandwidth/inbound/@burst", KIB, applies=LIVE, doc="Bytes that may come at peak speed.", default=None
    )
    out_average: Size | None = attr(
        "bandwidth/outbound/@average", KIB, applies=LIVE, doc="Bytes a second from the guest.", default=None
    )
    out_peak: Size | None = attr(
        "bandwidth/outbound/@peak", KIB, applies=LIVE, doc="Bytes a second from it in a burst.", default=None
    )
    out_burst: Size | None = attr(
        "bandwidth/outbound/@burst", KIB, applies=LIVE, doc="Bytes that may leave at peak speed.", default=None
    )
    coalesce: int | None = attr(
        "coalesce/rx/frames/@max",
        number(0, 2**31 - 1, "frames"),
        applies=LIVE,
        doc="Frames the tap device gathers before it wakes the guest.",
        default=None,
    )
    trust_guest_filters: bool | None = attr(
        "@trustGuestRxFilters",
        YES_NO,
        applies=REPLUG,
        doc="The host takes over what the guest says of its MAC addresses.",
        default=None,
    )
    mtu: int | None = attr(
        "mtu/@size", number(68, 65521, "mtu"), applies=REPLUG, doc="Bytes of the largest packet.", default=None
    )
    vhost: bool | None = attr(
        "driver/@name", VHOST, applies=REPLUG, doc="Packets move in the host kernel, not in QEMU.", default=None
    )
    queues: int | None = attr(
        "driver/@queues", COUNT, applies=REPLUG, doc="Pairs of queues, worth one for each CPU.", default=None
    )
    rx_queue_size: int | None = attr(
        "driver/@rx_queue_size", COUNT, applies=REPLUG, doc="Packets a receive queue holds.", default=None
    )
    tx_queue_size: int | None = attr(
        "driver/@tx_queue_size", COUNT, applies=REPLUG, doc="Packets a send queue holds.", default=None
    )
    tap: str | None = attr("target/@dev", applies=REPLUG, doc="Name of its interface on the host.", default=None)
    boot_order: int | None = attr(
        "boot/@order", COUNT, applies=REPLUG, doc="Its turn among the devices that are booted from.", default=None
    )
    rom: bool | None = attr("rom/@bar", ON_OFF, applies=REPLUG, doc="The guest sees the card's boot ROM.", default=None)
    rom_file: str | None = attr(
        "rom/@file", PATH, applies=REPLUG, doc="Boot ROM to use instead of its own.", default=None
    )
    alias: str | None = attr(
        "alias/@name",
        ALIAS,
        applies=REPLUG,
        doc="Name of one's own for the device; ua- is put before it.",
        default=None,
    )
    ip: str | None = aside(HOST, applies=LIVE, doc="Address the guest is to have on this card.", default=None)
    gateway: str | None = aside(ADDRESS, applies=LIVE, doc="Gateway the guest is to use.", default=None)
    dns: tuple[str, ...] | None = aside(
        listed(ADDRESS), applies=LIVE, doc="Name servers the guest is to ask.", default=None
    )

    @classmethod
    def read(cls, node: Element) -> Self:
        """Read from the object's element: a card on a network is that, also where libvirt tells what it has become."""
        if not _is_lent(node):
            return super().read(node)
        copy = deepcopy(node)
        _ask_again(copy)
        return super().read(copy)

    def write(self, node: Element) -> None:
        if _is_lent(node) and any(True for _ in self.items()):
            _ask_again(node)
        super().write(node)


def _is_lent(node: Element) -> bool:
    source = node.find("source") if node.get("type") in LENT else None
    return source is not None and source.get("network") is not None


def _ask_again(node: Element) -> None:
    """Let the element say what was asked for: the network, and nothing of what libvirt has found there."""
    source = node.find("source")
    assert source is not None, "it names a network"
    for name in LENT[str(node.get("type"))]:
        if name in source.attrib:
            del source.attrib[name]
    node.set("type", "network")
