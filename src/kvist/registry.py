"""Which nouns and verbs there are. Each verb's module is loaded when the verb is asked for, and not before.

A verb is a method or function of `resources/`; its parameters, their types and its docstring are its command line, its
help and its reference. Adding one is a line here, the function, and its test.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Subject(Enum):
    """What a verb is a method of, so how the command line comes to the object."""

    VM = "vm"
    """One VM, named first."""
    MANY = "vms-by-name"
    """The same for each of several names."""
    VMS = "vms"
    IMAGES = "images"
    NETWORKS = "networks"
    FILTERS = "filters"
    BRIDGES = "bridges"
    FORWARDS = "forwards"
    HISTORY = "history"
    TRASH = "trash"
    HOST = "host"
    """A connected host."""
    NOTHING = "nothing"
    """A plain function that needs no connection."""


class Verb(NamedTuple):
    """One thing that can be asked. `target` is `module:Class.method` or `module:function` below kvist.resources."""

    name: str
    summary: str
    subject: Subject
    target: str
    then: str = ""
    """The next useful command, told after success; {name} is the VM's."""
    asks: str = ""
    """A question put to a person at a terminal before anything is done; --yes answers it."""
    empty: str = ""
    """What to say and do next where a list has nothing in it."""
    absent: bool = False
    """It wishes that VMs be gone: a name or pattern that fits none is a wish fulfilled."""
    part: str = ""
    """The part of a VM whose method it is: `nics` for a verb of `host.vm("web").nics`."""
    instead: tuple[str, ...] = ()
    """Options that make another verb of it, whose target stands first: ("pending:revert", "revert", "all")."""
    everywhere: str = ""
    """The function that asks all hosts at once, for --all-hosts."""
    forms: tuple[str, ...] = ()
    """Forms of output that few have: xml, where there is a document of libvirt's, and svg, where something is drawn."""
    command: bool = False
    """What follows the object is a command line of its own, whose options are none of kvist's."""


class Noun(NamedTuple):
    """A noun and its verbs."""

    name: str
    summary: str
    verbs: tuple[Verb, ...]
    plain: Verb | None = None
    """What the noun does where no verb follows it."""


V, M, ALL, NONE = Subject.VM, Subject.MANY, Subject.VMS, Subject.NOTHING
NET, BRIDGE, FORWARD, F = Subject.NETWORKS, Subject.BRIDGES, Subject.FORWARDS, Subject.FILTERS

MACHINE: dict[str, tuple[Verb, ...]] = {
    "Make and remove": (
        Verb("create", "Make a VM and start it.", ALL, "create:create", then="kvist ssh {name}"),
        Verb("set", "Change settings of VMs, live and for the next boot.", M, "setting:set", then="kvist show {name}"),
        Verb("get", "Print settings of VMs, now and at the next boot.", ALL, "reading:get"),
        Verb("unset", "Take settings of VMs away.", M, "setting:unset", then="kvist show {name}"),
        Verb(
            "pending",
            "List what waits for a VM's next boot, or take it back.",
            V,
            "pending:pending",
            empty="nothing waits for its next boot",
            instead=("pending:revert", "revert", "all"),
        ),
        Verb(
            "delete",
            "Put VMs and the disks made for them into the trash.",
            M,
            "vm:Machine.delete",
            asks="delete {names}?",
            then="kvist undo",
            absent=True,
        ),
        Verb("protect", "Let VMs not be deleted.", M, "vm:Machine.protect"),
        Verb("unprotect", "Let VMs be deleted again.", M, "vm:Machine.unprotect"),
        Verb("rename", "Give a VM another name.", V, "vm:Machine.rename", then="kvist show {name}"),
    ),
    "Look": (
        Verb(
            "ls",
            "List the VMs.",
            ALL,
            "machines:Machines.ls",
            empty="there is no VM; kvist create web --image debian-12 makes one",
            everywhere="everywhere:ls",
        ),
        Verb("top", "Show what the running VMs use, live.", ALL, "top:top", empty="no VM runs"),
        Verb("events", "Tell what happens to VMs, as it happens.", ALL, "events:events"),
        Verb("show", "Show all that is known about a VM.", V, "show:show"),
        Verb("ip", "Print the addresses of a VM.", V, "address:ip"),
        Verb("vnc", "Print the way to a VM's screen, or open it.", V, "viewing:vnc"),
        Verb("dump", "Write the memory of a VM to a file.", V, "saving:dump"),
        Verb("screenshot", "Save what a VM's screen shows.", V, "screen:screenshot"),
    ),
    "Power": (
        Verb("start", "Boot VMs.", M, "vm:Machine.start", then="kvist console {name}"),
        Verb("stop", "Shut VMs down.", M, "vm:Machine.stop", then="kvist start {name}"),
        Verb("reboot", "Reboot VMs.", M, "vm:Machine.reboot", then="kvist wait {name} ssh"),
        Verb("reset", "Press the reset button of VMs.", M, "vm:Machine.reset", then="kvist console {name}"),
        Verb("suspend", "Freeze VMs; they stay in memory.", M, "vm:Machine.suspend", then="kvist resume {name}"),
        Verb("resume", "Let suspended VMs go on.", M, "vm:Machine.resume"),
        Verb("save", "Put VMs to sleep on disk.", M, "saving:save", then="kvist start {name}"),
        Verb("restore", "Let saved VMs go on where they were.", M, "saving:restore"),
        Verb("autostart", "Start a VM with its host, or not.", V, "vm:Machine.autostart"),
    ),
    "Take back": (
        Verb("undo", "Take back what was done last, or operation N.", Subject.HISTORY, "history:History.undo"),
    ),
    "Get in": (
        Verb("console", "Open the serial console of a VM.", V, "terminal:console"),
        Verb("ssh", "Log in to a VM, or run a command in it.", V, "reach:ssh", command=True),
        Verb("exec", "Run a command by the guest agent, without a network.", V, "reach:execute", command=True),
        Verb("cp", "Copy files into a VM or out of it.", Subject.HOST, "copying:cp"),
        Verb("wait", "Wait until a VM has an address, answers by ssh, is off ...", V, "waiting:wait"),
        Verb("completion", "Print what lets your shell complete lines of kvist's.", NONE, "shell:completion"),
        Verb("ssh-config", "Write a file for ssh's Include, so that `ssh VM` works.", Subject.HOST, "reach:ssh_config"),
    ),
}

NOUNS: dict[str, Noun] = {
    noun.name: noun
    for noun in (
        Noun(
            "image",
            "Images that VMs are made of.",
            (
                Verb(
                    "ls",
                    "List the images.",
                    Subject.IMAGES,
                    "image:Images.ls",
                    empty="there is no image; kvist image build debian-12 makes one",
                ),
                Verb("show", "Show all that is known about an image.", Subject.IMAGES, "image:Images.show"),
                Verb(
                    "build",
                    "Build an image from Debian's packages, on this machine.",
                    Subject.IMAGES,
                    "image:Images.build",
                    then="kvist create web --image {name}",
                ),
                Verb(
                    "add",
                    "Add an image from a file, a URL or the catalogue.",
                    Subject.IMAGES,
                    "image:Images.add",
                    then="kvist image ls",
                ),
                Verb(
                    "catalogue", "List the images that can be added by name.", Subject.IMAGES, "image:Images.catalogue"
                ),
                Verb("remove", "Remove images.", Subject.IMAGES, "image:Images.remove", asks="remove image {names}?"),
                Verb("prune", "Remove what no image and no VM needs any more.", Subject.IMAGES, "image:Images.prune"),
            ),
        ),
        Noun(
            "nic",
            "Network cards of a VM.",
            (
                Verb("ls", "List the cards of a VM.", V, "cards:Cards.ls", part="nics", empty="it has no card"),
                Verb("add", "Plug a card into a VM.", V, "cards:Cards.add", part="nics", then="kvist nic ls {name}"),
                Verb("set", "Change a card.", V, "cards:Cards.set", part="nics", then="kvist nic ls {name}"),
                Verb("remove", "Unplug a card.", V, "cards:Cards.remove", part="nics", then="kvist nic ls {name}"),
            ),
        ),
        Noun(
            "disk",
            "Disks of a VM.",
            (
                Verb("ls", "List the disks of a VM.", V, "disks:DiskList.ls", part="disks", empty="it has no disk"),
                Verb(
                    "add",
                    "Plug in a disk: a new one, a volume or a file.",
                    V,
                    "disks:DiskList.add",
                    part="disks",
                    then="kvist disk ls {name}",
                ),
                Verb(
                    "set",
                    "Change a disk: its size, limits, cache.",
                    V,
                    "disks:DiskList.set",
                    part="disks",
                    then="kvist disk ls {name}",
                ),
                Verb("remove", "Unplug a disk.", V, "disks:DiskList.remove", part="disks", then="kvist disk ls {name}"),
            ),
        ),
        Noun(
            "cdrom",
            "Media in the drives of a VM.",
            (
                Verb(
                    "insert", "Put a medium in.", V, "drives:Drives.insert", part="drives", then="kvist disk ls {name}"
                ),
                Verb("eject", "Take the medium out.", V, "drives:Drives.eject", part="drives"),
            ),
        ),
        Noun(
            "device",
            "Devices of a VM, of every kind.",
            (
                Verb("ls", "List the devices of a VM.", V, "devices:Devices.ls", part="devices"),
                Verb(
                    "add", "Plug a device in.", V, "devices:Devices.add", part="devices", then="kvist device ls {name}"
                ),
                Verb(
                    "set", "Change a device.", V, "devices:Devices.set", part="devices", then="kvist device ls {name}"
                ),
                Verb(
                    "remove",
                    "Unplug a device.",
                    V,
                    "devices:Devices.remove",
                    part="devices",
                    then="kvist device ls {name}",
                ),
            ),
        ),
        Noun(
            "net",
            "Networks that VMs are plugged into.",
            (
                Verb("ls", "List the networks.", NET, "network:Networks.ls", empty="there is no network"),
                Verb("show", "Show all that is known about a network.", NET, "network_show:show"),
                Verb(
                    "create",
                    "Make a network and start it.",
                    NET,
                    "network_making:create",
                    then="kvist net show {name}",
                ),
                Verb("set", "Change a network, live where that can be.", NET, "network_setting:set"),
                Verb("unset", "Take settings of a network away.", NET, "network_setting:unset"),
                Verb("start", "Start a network, now and with the host.", NET, "network:Networks.start"),
                Verb("stop", "Stop a network.", NET, "network:Networks.stop", then="kvist net start {name}"),
                Verb("autostart", "Start a network with its host, or not.", NET, "network:Networks.autostart"),
                Verb("rename", "Give a network another name.", NET, "network:Networks.rename"),
                Verb(
                    "delete",
                    "Remove a network that no VM uses.",
                    NET,
                    "network:Networks.delete",
                    asks="delete network {names}?",
                    then="kvist undo",
                ),
                Verb(
                    "leases",
                    "List addresses: reserved, given out, and whose.",
                    NET,
                    "network_names:leases",
                    empty="no address is reserved or given out",
                ),
                Verb("reserve", "Reserve an address for a VM.", NET, "network_names:reserve"),
                Verb("unreserve", "Give a reserved address free.", NET, "network_names:unreserve"),
                Verb("host add", "Give an address a name that guests find.", NET, "network_names:add_host"),
                Verb("host remove", "Take such a name away.", NET, "network_names:remove_host"),
                Verb("expose", "Let other hosts reach the guests of a network.", NET, "exposing:expose"),
                Verb("unexpose", "Let them reach it no longer.", NET, "exposing:unexpose"),
                Verb("map", "Draw the networks of the host.", NET, "netmap:map", forms=("svg",)),
                Verb("rules", "List the firewall rules for a network.", NET, "netrules:rules"),
                Verb("diagnose", "Find out why a VM does not reach the network.", V, "diagnose:diagnose"),
            ),
        ),
        Noun(
            "bridge",
            "Bridges of the host.",
            (
                Verb("ls", "List the bridges.", BRIDGE, "bridge:Bridges.ls", empty="there is no bridge"),
                Verb("show", "Show all that is known about a bridge.", BRIDGE, "bridge:Bridges.show"),
                Verb(
                    "create",
                    "Make a bridge, of the host's uplink too.",
                    BRIDGE,
                    "bridge:Bridges.create",
                    then="kvist bridge show {name}",
                ),
                Verb("set", "Change a bridge.", BRIDGE, "bridge:Bridges.set"),
                Verb("add-port", "Plug an interface of the host in.", BRIDGE, "bridge:Bridges.add_port"),
                Verb("remove-port", "Unplug an interface.", BRIDGE, "bridge:Bridges.remove_port"),
                Verb(
                    "delete",
                    "Remove a bridge; its address goes back to its port.",
                    BRIDGE,
                    "bridge:Bridges.delete",
                    asks="delete the bridge?",
                ),
            ),
        ),
        Noun(
            "forward",
            "Ports of the host that lead to guests.",
            (
                Verb(
                    "ls",
                    "List the forwards.",
                    FORWARD,
                    "forwards:Forwards.ls",
                    empty="no port is forwarded; kvist forward add 8080 web:80 forwards one",
                ),
                Verb(
                    "add",
                    "Forward ports of the host to a VM.",
                    FORWARD,
                    "forwards:Forwards.add",
                    then="kvist forward ls",
                ),
                Verb("remove", "Forward ports no longer.", FORWARD, "forwards:Forwards.remove"),
                Verb(
                    "restore",
                    "Put the forwards in force again.",
                    FORWARD,
                    "forwards:Forwards.restore",
                    then="kvist forward ls",
                ),
            ),
        ),
        Noun(
            "filter",
            "Network filters: libvirt's own rules for the packets of a card.",
            (
                Verb("ls", "List the filters.", F, "filter:Filters.ls", empty="there is no filter"),
                Verb("show", "Show a filter, rule by rule.", F, "filter:Filters.show", forms=("xml",)),
                Verb("create", "Make a filter.", F, "filter:Filters.create", then="kvist filter add {name} drop in"),
                Verb("set", "Change a filter.", F, "filter:Filters.set", then="kvist filter show {name}"),
                Verb(
                    "delete", "Remove filters.", F, "filter:Filters.delete", asks="remove filter {names}?", absent=True
                ),
                Verb("rename", "Give a filter another name.", F, "filter:Filters.rename"),
                Verb("copy", "Make a filter like another.", F, "filter:Filters.copy"),
                Verb("add", "Add a rule to a filter.", F, "filter:Filters.add", then="kvist filter show {name}"),
                Verb(
                    "remove",
                    "Take a rule out of a filter.",
                    F,
                    "filter:Filters.remove",
                    then="kvist filter show {name}",
                ),
                Verb(
                    "include",
                    "Let a filter include another.",
                    F,
                    "filter:Filters.include",
                    then="kvist filter show {name}",
                ),
                Verb("exclude", "Let a filter not include another.", F, "filter:Filters.exclude"),
            ),
        ),
        Noun(
            "log",
            "What was done on a host, by whom, and how it ended.",
            (Verb("show", "Show one operation, change by change.", Subject.HISTORY, "history:History.show"),),
            Verb(
                "log",
                "List what was done, newest first.",
                Subject.HISTORY,
                "history:History.log",
                empty="nothing was done here yet",
            ),
        ),
        Noun(
            "trash",
            "VMs that were deleted and can come back.",
            (
                Verb("ls", "List the VMs in the trash.", Subject.TRASH, "trash:Trash.ls", empty="the trash is empty"),
                Verb(
                    "restore",
                    "Bring a deleted VM back whole.",
                    Subject.TRASH,
                    "trash:Trash.restore",
                    then="kvist start {name}",
                ),
                Verb(
                    "empty",
                    "Remove deleted VMs for good.",
                    Subject.TRASH,
                    "trash:Trash.empty",
                    asks="remove what is in the trash for good?",
                ),
            ),
        ),
        Noun(
            "host",
            "The machine that VMs run on.",
            (
                Verb("check", "Find out whether VMs can run here, and how to mend it.", NONE, "hostcheck:check"),
                Verb("show", "Show which host a line acts on, and why.", Subject.HOST, "hosts:show"),
                Verb(
                    "ls",
                    "List the hosts that have names.",
                    NONE,
                    "hosts:ls",
                    empty="no host has a name; kvist host add NAME URI gives one",
                ),
                Verb("add", "Give a host a name.", NONE, "hosts:add", then="kvist ls --host {name}"),
                Verb("set", "Change settings of a host's kernel.", Subject.HOST, "hostsetting:set"),
                Verb("use", "Take a host where none is named.", NONE, "hosts:use", then="kvist host show"),
                Verb("remove", "Forget hosts.", NONE, "hosts:remove"),
            ),
        ),
        Noun(
            "sandbox",
            "A private libvirt, from which nothing leaks.",
            (
                Verb("up", "Start a sandbox.", NONE, "sandbox:up", then="kvist --host sandbox:{name} ls"),
                Verb(
                    "ls",
                    "List the sandboxes.",
                    NONE,
                    "sandbox:ls",
                    empty="no sandbox is up; kvist sandbox up starts one",
                ),
                Verb("exec", "Run a command in a sandbox.", NONE, "sandbox:execute", command=True),
                Verb("shell", "Open a shell in a sandbox.", NONE, "sandbox:shell"),
                Verb("down", "Switch a sandbox off, with all that is in it.", NONE, "sandbox:down"),
            ),
        ),
    )
}


def find(words: list[str]) -> tuple[Verb, int] | None:
    """Find the verb that a line begins with, and how many words name it; None when there is no such verb."""
    if not words:
        return None
    for verbs in MACHINE.values():
        for verb in verbs:
            if verb.name == words[0]:
                return verb, 1
    noun = NOUNS.get(words[0])
    if noun and len(words) > 1:
        for verb in noun.verbs:
            # A verb of two words (`net host add`) is found by both.
            end = 2 + verb.name.count(" ")
            if verb.name == " ".join(words[1:end]):
                return verb, end
    return (noun.plain, 1) if noun and noun.plain else None


def spelled(verb: Verb) -> str:
    """Give the words that name a verb: `start`, `image ls`."""
    for noun in NOUNS.values():
        if verb is noun.plain:
            return noun.name
        if verb in noun.verbs:
            return f"{noun.name} {verb.name}"
    return verb.name
