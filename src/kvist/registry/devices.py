"""The nouns of what is plugged into a VM."""

from __future__ import annotations

from kvist.registry.verb import Noun, Subject, Verb

V = Subject.VM

NOUNS = (
    Noun(
        "nic",
        "Network cards of a VM.",
        (
            Verb("ls", "List the cards of a VM.", V, "devices.cards:Cards.ls", part="nics", empty="it has no card"),
            Verb(
                "add",
                "Plug a card into a VM.",
                V,
                "devices.cards:Cards.add",
                part="nics",
                then="kvist nic ls {name}",
            ),
            Verb("set", "Change a card.", V, "devices.cards:Cards.set", part="nics", then="kvist nic ls {name}"),
            Verb("remove", "Unplug a card.", V, "devices.cards:Cards.remove", part="nics", then="kvist nic ls {name}"),
        ),
    ),
    Noun(
        "disk",
        "Disks of a VM.",
        (
            Verb(
                "ls",
                "List the disks of a VM.",
                V,
                "devices.disks:DiskList.ls",
                part="disks",
                empty="it has no disk",
            ),
            Verb(
                "add",
                "Plug in a disk: a new one, a volume or a file.",
                V,
                "devices.disks:DiskList.add",
                part="disks",
                then="kvist disk ls {name}",
            ),
            Verb(
                "set",
                "Change a disk: its size, limits, cache.",
                V,
                "devices.disks:DiskList.set",
                part="disks",
                then="kvist disk ls {name}",
            ),
            Verb(
                "remove",
                "Unplug a disk.",
                V,
                "devices.disks:DiskList.remove",
                part="disks",
                then="kvist disk ls {name}",
            ),
        ),
    ),
    Noun(
        "cdrom",
        "Media in the drives of a VM.",
        (
            Verb(
                "insert",
                "Put a medium in.",
                V,
                "devices.drives:Drives.insert",
                part="drives",
                then="kvist disk ls {name}",
            ),
            Verb("eject", "Take the medium out.", V, "devices.drives:Drives.eject", part="drives"),
        ),
    ),
    Noun(
        "device",
        "Devices of a VM, of every kind.",
        (
            Verb("ls", "List the devices of a VM.", V, "devices.devices:Devices.ls", part="devices"),
            Verb(
                "add",
                "Plug a device in.",
                V,
                "devices.devices:Devices.add",
                part="devices",
                then="kvist device ls {name}",
            ),
            Verb(
                "set",
                "Change a device.",
                V,
                "devices.devices:Devices.set",
                part="devices",
                then="kvist device ls {name}",
            ),
            Verb(
                "remove",
                "Unplug a device.",
                V,
                "devices.devices:Devices.remove",
                part="devices",
                then="kvist device ls {name}",
            ),
        ),
    ),
)
