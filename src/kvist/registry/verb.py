"""What a verb is, and a noun.

A verb is a method or function of `resources/`; its parameters, their types and its docstring are its command line, its
help and its reference. Adding one is a line in one of the modules beside this one, the function, and its test.
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
    HOST = "host"
    """A connected host."""
    PLACE = "place"
    """A host whose libvirt need not answer, or not even be there."""
    NOTHING = "nothing"
    """A plain function that needs no connection."""
    # All others are what a host has by that name: `host.networks`.
    VMS = "vms"
    IMAGES = "images"
    NETWORKS = "networks"
    FILTERS = "filters"
    BRIDGES = "bridges"
    FORWARDS = "forwards"
    FIREWALL = "firewall"
    HISTORY = "history"
    TRASH = "trash"


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
    """Options that make another verb of it, whose target stands first: ("changing.pending:revert", "revert", "all")."""
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
