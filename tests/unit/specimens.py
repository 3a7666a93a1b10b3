"""One specimen of every spec, and values for every kind of field: what the tests of tables write and read."""

from __future__ import annotations

from typing import Any

from lxml.etree import _Element as Element

from kvist.specs.balloon import Balloon
from kvist.specs.behaviour import Timer
from kvist.specs.character import Channel, Console, Serial
from kvist.specs.controller import Controller
from kvist.specs.disk import Disk
from kvist.specs.filesystem import Filesystem
from kvist.specs.graphics import Graphics
from kvist.specs.hostdev import Hostdev
from kvist.specs.input import Input
from kvist.specs.memory import MemoryModule
from kvist.specs.network import (
    DhcpHost,
    DhcpRange,
    DnsHost,
    DnsSrv,
    DnsTxt,
    Forwarder,
    Ip,
    Network,
    PortGroup,
    Route,
    VirtualFunction,
)
from kvist.specs.nic import FilterParameter, Nic
from kvist.specs.nwfilter import Filter, Include, Rule
from kvist.specs.nwfilter_ethernet import ArpMatch, RarpMatch
from kvist.specs.nwfilter_protocols import PROTOCOLS
from kvist.specs.nwfilter_traffic import Ipv6Traffic, Traffic
from kvist.specs.panic import Panic
from kvist.specs.pool import Pool
from kvist.specs.processor import CpuFeature, CpuPin
from kvist.specs.rng import Rng
from kvist.specs.sound import Sound
from kvist.specs.tpm import Tpm
from kvist.specs.video import Video
from kvist.specs.vm import Vm
from kvist.specs.volume import Volume
from kvist.specs.vsock import Vsock
from kvist.specs.watchdog import Watchdog
from kvist.values import Cidr, Mac, PciAddress, Size
from kvist.xml.codec import Codec
from kvist.xml.document import Document
from kvist.xml.kinds import Field, One
from kvist.xml.lists import Many
from kvist.xml.spec import Spec

DOMAIN = """<domain type='kvm'>
  <name>web</name>
  <memory unit='KiB'>4194304</memory>
  <currentMemory unit='KiB'>1048576</currentMemory>
  <vcpu current='2'>4</vcpu>
  <os>
    <type arch='aarch64' machine='virt'>hvm</type>
  </os>
</domain>"""

DEVICES: dict[type[Spec], str] = {
    Nic: "<interface type='user'/>",
    Disk: "<disk type='file'><target dev='vda'/></disk>",
    Controller: "<controller type='pci' index='1' model='pcie-root-port'/>",
    Graphics: "<graphics type='vnc'/>",
    Video: "<video><model type='vga'/></video>",
    Serial: "<serial type='pty'/>",
    Console: "<console type='pty'/>",
    Channel: "<channel type='unix'><target type='virtio' name='a'/></channel>",
    Rng: "<rng model='virtio-transitional'><backend model='random'>/dev/random</backend></rng>",
    Watchdog: "<watchdog model='ib700'/>",
    Balloon: "<memballoon model='xen'/>",
    Input: "<input type='mouse'/>",
    Hostdev: (
        "<hostdev mode='subsystem' type='pci'><source>"
        "<address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source></hostdev>"
    ),
    Filesystem: "<filesystem><source dir='/a'/><target dir='a'/></filesystem>",
    Tpm: "<tpm><backend type='passthrough'/></tpm>",
    Sound: "<sound model='sb16'/>",
    MemoryModule: (
        "<memory model='nvdimm'><source><path>/a</path></source><target><size unit='KiB'>1</size></target></memory>"
    ),
    Vsock: "<vsock/>",
    Panic: "<panic/>",
}
NETWORK = (
    "<network><name>a</name><forward mode='hostdev'><address type='pci' domain='0x0000' bus='0x01' slot='0x00' "
    "function='0x0'/></forward><dns><forwarder addr='10.0.0.1'/><txt name='a' value='b'/>"
    "<srv service='a' protocol='tcp'/><host ip='10.0.0.1'><hostname>a</hostname></host></dns>"
    "<ip address='10.0.0.1' prefix='24'><dhcp><range start='10.0.0.2' end='10.0.0.3'/>"
    "<host mac='52:54:00:00:00:07' ip='10.0.0.4'/></dhcp></ip>"
    "<route address='10.1.0.0' prefix='24' gateway='10.0.0.2'/><portgroup name='a'/></network>"
)
RULE = "<filter name='a'><rule action='drop' direction='in'/></filter>"
HOMES: dict[type[Spec], tuple[str, str]] = {
    **{
        spec: (DOMAIN.replace("</os>", f"</os><devices>{text}</devices>"), f"devices/{spec.TAG}")
        for spec, text in DEVICES.items()
    },
    Vm: (DOMAIN, "."),
    Pool: ("<pool type='dir'><name>a</name><target><path>/a</path></target></pool>", "."),
    Volume: ("<volume><name>a</name><capacity unit='bytes'>0</capacity><target><path>/a</path></target></volume>", "."),
    Network: ("<network><name>a</name></network>", "."),
    Ip: ("<network><name>a</name><ip address='10.0.0.1' prefix='24'/></network>", "ip"),
    DhcpRange: (NETWORK, "ip/dhcp/range"),
    DhcpHost: (NETWORK, "ip/dhcp/host"),
    Route: (NETWORK, "route"),
    DnsHost: (NETWORK, "dns/host"),
    DnsTxt: (NETWORK, "dns/txt"),
    DnsSrv: (NETWORK, "dns/srv"),
    Forwarder: (NETWORK, "dns/forwarder"),
    PortGroup: (NETWORK, "portgroup"),
    VirtualFunction: (NETWORK, "forward/address"),
    Timer: (DOMAIN.replace("</os>", "</os><clock offset='utc'><timer name='pit'/></clock>"), "clock/timer"),
    CpuFeature: (
        DOMAIN.replace("</os>", "</os><cpu><model>a</model><feature name='vmx' policy='require'/></cpu>"),
        "cpu/feature",
    ),
    CpuPin: (DOMAIN.replace("</os>", "</os><cputune><vcpupin vcpu='0' cpuset='0'/></cputune>"), "cputune/vcpupin"),
    FilterParameter: (
        DOMAIN.replace(
            "</os>",
            "</os><devices><interface type='user'><filterref filter='a'><parameter name='IP' value='a'/>"
            "</filterref></interface></devices>",
        ),
        "devices/interface/filterref/parameter",
    ),
    Filter: ("<filter name='a'/>", "."),
    Include: ("<filter name='a'><filterref filter='b'/></filter>", "filterref"),
    Rule: (RULE, "rule"),
    **{kind: (RULE.replace("/><", f"><{tag}/></rule><"), f"rule/{tag}") for tag, kind in PROTOCOLS.items()},
}
"""The smallest document each spec can live in, and where in it."""

PCI = PciAddress(0, 3, 0, 1)

NFS = Pool(type="netfs", source_host="a", source_dir="/a", source_format="nfs")
TOPOLOGY = Vm(sockets=2, cores=2, threads=2)
SCSI = Controller(type="scsi", model="virtio-scsi")

COMPANIONS: dict[tuple[type[Spec], str], Spec] = {
    (Timer, "track"): Timer(name="rtc"),
    (Timer, "frequency"): Timer(name="tsc"),
    (Timer, "mode"): Timer(name="tsc"),
    (Serial, "log_append"): Serial(log="/a"),
    (Console, "log_append"): Console(log="/a"),
    (Channel, "log_append"): Channel(log="/a"),
    (Serial, "model"): Serial(target="isa-serial"),
    (Controller, "queues"): SCSI,
    (Controller, "iothread"): SCSI,
    (Controller, "ports"): Controller(type="usb", model="qemu-xhci"),
    (Disk, "pool"): Disk(volume="a"),
    (Disk, "volume"): Disk(pool="a"),
    (Disk, "export"): Disk(protocol="nbd", host="a"),
    (Disk, "host"): Disk(protocol="nbd"),
    (Disk, "protocol"): Disk(host="a"),
    (Controller, "type"): Controller(model=None),
    (Hostdev, "mode"): Hostdev(mode=None),
    (Disk, "port"): Disk(protocol="nbd", host="a"),
    (Filesystem, "queue"): Filesystem(driver="virtiofs"),
    (Filesystem, "socket"): Filesystem(source=None),
    (Hostdev, "vendor"): Hostdev(product="0x1"),
    (Hostdev, "product"): Hostdev(vendor="0x1"),
    (Hostdev, "usb_bus"): Hostdev(usb_device=1),
    (Hostdev, "usb_device"): Hostdev(usb_bus=1),
    (Hostdev, "model"): Hostdev(mdev="6b1d8f6e-3c1f-4f0e-9d0a-2f3f5a1c7e11"),
    (Hostdev, "mdev"): Hostdev(model="vfio-pci"),
    (Input, "passthrough"): Input(bus="virtio"),
    (Nic, "portgroup"): Nic(network="a"),
    (Nic, "mode"): Nic(dev="eth0"),
    (Nic, "socket"): Nic(socket_mode="client"),
    (Nic, "socket_mode"): Nic(socket="/a"),
    (Nic, "managed"): Nic(device=PCI),
    (Nic, "virtualport"): Nic(bridge="br0"),
    (Nic, "interface_id"): Nic(bridge="br0", virtualport="openvswitch"),
    (Nic, "filter_parameters"): Nic(filter="a"),
    (Nic, "trunk"): Nic(vlan=(1, 2)),
    (DhcpRange, "unit"): DhcpRange(expiry=3),
    (DhcpHost, "unit"): DhcpHost(expiry=3),
    (DhcpHost, "id"): DhcpHost(mac=None),
    (Ip, "netmask"): Ip(prefix=None),
    (Ip, "bootp_server"): Ip(bootp_file="/a"),
    (Route, "netmask"): Route(prefix=None),
    (Network, "nat_start"): Network(nat_end="10.0.0.7"),
    (Network, "nat_end"): Network(nat_start="10.0.0.7"),
    (Network, "nat_port_start"): Network(nat_port_end=7),
    (Network, "nat_port_end"): Network(nat_port_start=7),
    (Network, "domain_local"): Network(domain="a"),
    **{
        (kind, name): companion
        for kind, vlan, port in (
            (Network, Network(vlan=(7,)), Network(virtualport="openvswitch")),
            (PortGroup, PortGroup(vlan=(7,)), PortGroup(virtualport="openvswitch")),
        )
        for name, companion in (("trunk", vlan), ("native", vlan), ("profile", port))
    },
    (Pool, "type"): Pool(source_devices=("/dev/sdb1",)),
    (Pool, "source_name"): Pool(type="logical", source_devices=("/dev/sdb1",)),
    (Pool, "source_dir"): NFS,
    (Pool, "source_devices"): Pool(type="logical", source_name="a"),
    (Pool, "source_host"): NFS,
    (Pool, "source_port"): NFS,
    (Pool, "source_format"): NFS,
    (Rng, "backend"): Rng(source=None),
    (Rng, "rate_period"): Rng(rate_bytes=1),
    (Tpm, "persistent"): Tpm(backend="emulator", version="2.0"),
    (Video, "ram"): Video(model="qxl"),
    (Video, "vgamem"): Video(model="qxl"),
    (Video, "width"): Video(height=1),
    (Video, "height"): Video(width=1),
    (Vm, "memory_limit"): Vm(memory_slots=1),
    (Vm, "memory_slots"): Vm(memory_limit=Size(8 << 30)),
    (Vm, "sockets"): TOPOLOGY,
    (Vm, "dies"): TOPOLOGY,
    (Vm, "cores"): TOPOLOGY,
    (Vm, "threads"): TOPOLOGY,
    (Vm, "cpu_features"): Vm(cpu_model="a"),
    (Vm, "os_type"): Vm(os_type=None),
    (Vm, "boot_menu_timeout"): Vm(boot_menu=True),
    (Vm, "timezone"): Vm(clock="timezone"),
    (Vm, "timers"): Vm(clock="utc"),
    (Vm, "hyperv_retries"): Vm(hyperv_spinlocks=True),
    (Volume, "backing_format"): Volume(backing="/a"),
    (Filter, "priority"): Filter(chain="ipv4"),
    **{(kind, "ipset"): kind(ipset_flags="src") for kind in PROTOCOLS.values() if issubclass(kind, Traffic)},
    **{(kind, "ipset_flags"): kind(ipset="a") for kind in PROTOCOLS.values() if issubclass(kind, Traffic)},
}
"""What a field cannot stand in a valid document without."""

SAMPLES: dict[str, tuple[Any, Any]] = {
    "alias": ("ua-one", "ua-two"),
    "text": ("one", "two"),
    "line": ("one of many", "two"),
    "yes-no": (True, False),
    "on-off": (True, False),
    "vhost": (True, False),
    "flag": (True, True),
    "size": (Size(3 << 30), Size(2 << 30)),
    "kib": (Size(3 << 20), Size(2 << 20)),
    "uuid": ("6b1d8f6e-3c1f-4f0e-9d0a-2f3f5a1c7e11", "6b1d8f6e-3c1f-4f0e-9d0a-2f3f5a1c7e12"),
    "name": ("one", "two"),
    "path": ("/srv/one", "/srv/two"),
    "mode": ("0640", "0600"),
    "mac": (Mac("52:54:00:00:00:01"), Mac("52:54:00:00:00:02")),
    "pci": (PCI, PCI._replace(bus=4)),
    "cpuset": ("0-3,^2", "1"),
    "target": ("vdb", "sda"),
    "wwn": ("5000c50015ea71ad", "5000c50015ea71ae"),
    "usb-id": ("0x046d", "0x046e"),
    "expiry": ("2030-12-31T23:59:59", "2031-12-31T23:59:59"),
    "timezone": ("Europe/Stockholm", "UTC"),
    "address": ("10.0.0.8", "10.0.0.9"),
    "hostname": ("one.example", "two"),
    "cidr": (Cidr("10.0.0.1", 24), Cidr("10.0.0.2", 24)),
    "variable name": ("IP", "PORT"),
    "variable value": ("10.0.0.1", "a"),
    "filter name": ("one", "two"),
    "chain": ("ipv4-web", "root"),
    "match mac": ("52:54:00:00:00:01", "$MAC"),
    "match mac with mask": ("52:54:00:00:00:00/ff:ff:ff:00:00:00", "$MAC"),
    "ipv4 with mask": ("10.0.0.0/8", "10.0.0.1"),
    "ipv6 with mask": ("fd00::/64", "fd00::1"),
    "ipv4 range": ("10.0.0.1-10.0.0.9", "10.0.0.1"),
    "ipv6 range": ("fd00::1-fd00::9", "fd00::1"),
    "byte range": ("1-0x10", "1"),
    "short range": ("1-1023", "$PORT[@1]"),
    "long range": ("1-70000", "1"),
    "state": ("NEW,ESTABLISHED", "NONE"),
    "tcp flags": ("SYN,ACK/SYN", "ALL/NONE"),
    "ipset": ("blocked", "$SET"),
    "ipset flags": ("src,dst", "src"),
    "gratuitous": ("yes", "no"),
    "comment": ("one", "two"),
    **dict.fromkeys(("byte", "short", "dscp", "vlan id", "connections"), ("3", "0x2")),
}
"""Two values of every kind that has no choices or bounds to take them from."""

SAID: dict[tuple[type[Spec], str], Any] = {
    (Vm, "cpus_max"): 8,
    (Vm, "memory_max"): Size(8 << 30),
    (Vm, "on_poweroff"): "preserve",
    (Serial, "model"): "isa-serial",
    (Pool, "source_devices"): ("/dev/sdb1", "/dev/sdc1"),
    (Pool, "source_dir"): "/b",
    (DhcpHost, "id"): "0:3:0:1:0:16:3e:11:22:33",
    (Pool, "source_format"): "cifs",
    (Rule, "statematch"): "false",
}
"""Values for fields that libvirt's schema wants more of than their codec does."""


FORGOTTEN: set[tuple[type[Spec], str]] = {
    *((kind, name) for kind in (ArpMatch, RarpMatch) for name in ("arp_source_ip", "arp_dest_ip")),
    *(
        (kind, name)
        for kind in PROTOCOLS.values()
        if issubclass(kind, Ipv6Traffic)
        for name in ("state", "connlimit_above", "ipset", "ipset_flags")
    ),
}
"""What libvirt takes and its schema does not know. Source: the tables of virNWFilterRuleDetailsParse."""

VARIANTS: dict[type[Spec], dict[str, Spec]] = {
    Nic: {
        "network": Nic(network="lab", portgroup="a"),
        "bridge": Nic(bridge="br0"),
        "direct": Nic(dev="eth0", mode="vepa"),
        "user": Nic(type="user"),
        "ethernet": Nic(type="ethernet"),
        "hostdev": Nic(device=PCI, managed=True),
        "vhostuser": Nic(socket="/run/a", socket_mode="server"),
        "vdpa": Nic(type="vdpa", dev="vdpa0"),
    },
    Disk: {
        "file": Disk(file="/srv/a"),
        "block": Disk(dev="/dev/sda"),
        "volume": Disk(pool="a", volume="b"),
        "network": Disk(protocol="nbd", host="a", port=10809, export="b"),
        "dir": Disk(dir="/srv"),
    },
    Graphics: {
        "vnc": Graphics(type="vnc", websocket=-1, port=5901, listen="127.0.0.1"),
        "spice": Graphics(tls_port=-1, autoport=True),
        "sdl": Graphics(type="sdl"),
        "rdp": Graphics(type="rdp"),
        "desktop": Graphics(type="desktop"),
        "egl-headless": Graphics(type="egl-headless"),
        "dbus": Graphics(type="dbus"),
    },
    Input: {
        "tablet": Input(type="tablet", bus="usb"),
        "keyboard": Input(type="keyboard"),
        "mouse": Input(type="mouse"),
        "passthrough": Input(passthrough="/dev/input/event0", bus="virtio"),
        "evdev": Input(evdev="/dev/input/event0", bus=None),
    },
    Hostdev: {
        "pci": Hostdev(pci=PCI, driver="vfio"),
        "usb": Hostdev(vendor="0x046d", product="0x082d"),
        "mdev": Hostdev(mdev="6b1d8f6e-3c1f-4f0e-9d0a-2f3f5a1c7e11", model="vfio-pci"),
    },
    **{
        kind: {
            "pty": kind(type="pty"),
            "unix": kind(type="unix", path="/run/a", mode="bind"),
            "tcp": kind(host="127.0.0.1", service="4555", mode="bind", protocol="telnet"),
            "file": kind(append=True, path="/a"),
            "dev": kind(type="dev", path="/dev/ttyS0"),
            "pipe": kind(type="pipe", path="/a"),
            "null": kind(type="null"),
            "stdio": kind(type="stdio"),
            "vc": kind(type="vc"),
            "spicevmc": kind(type="spicevmc"),
            "qemu-vdagent": kind(type="qemu-vdagent"),
        }
        for kind in (Serial, Console, Channel)
    },
}
"""One of each variant, as little of it as makes sense."""


def home(spec: type[Spec]) -> tuple[Document, Element]:
    text, path = HOMES[spec]
    document = Document.parse(text)
    node = document.root.find(path)
    assert node is not None
    return document, node


def sample(spec: type[Spec], field: Field, unlike: Any) -> Any:
    """Make up a value for a field that is not the one it has."""
    if (spec, field.name) in SAID:
        return SAID[spec, field.name]
    if isinstance(field, Many | One):
        item = item_of(field.spec)
        return (item,) if isinstance(field, Many) else item
    values = _values(field.codec.item or field.codec)
    if field.codec.item is not None:
        return tuple(dict.fromkeys(values))
    return next(value for value in values if value != unlike)


def _values(codec: Codec[Any]) -> tuple[Any, ...]:
    if codec.choices:
        return codec.choices[:2]
    if codec.least is not None and codec.most is not None:
        return (max(codec.least, 1), max(codec.least, 1) + 1)
    if codec.kind == "integer":
        return (3, 2)
    return SAMPLES[codec.name]


def item_of(spec: type[Spec]) -> Spec:
    _, node = home(spec)
    return spec.read(node)
