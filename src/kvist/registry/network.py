"""The nouns of networks: what guests are plugged into, what leads to them, and what keeps packets out."""

from __future__ import annotations

from kvist.registry.verb import Noun, Subject, Verb

NET, BRIDGE, FORWARD, F, V = (
    Subject.NETWORKS,
    Subject.BRIDGES,
    Subject.FORWARDS,
    Subject.FILTERS,
    Subject.VM,
)

NOUNS = (
    Noun(
        "net",
        "Networks that VMs are plugged into.",
        (
            Verb("ls", "List the networks.", NET, "networks.network:Networks.ls", empty="there is no network"),
            Verb("show", "Show all that is known about a network.", NET, "networks.show:show"),
            Verb(
                "create",
                "Make a network and start it.",
                NET,
                "networks.making:create",
                then="kvist net show {name}",
            ),
            Verb("set", "Change a network, live where that can be.", NET, "networks.setting:set"),
            Verb("unset", "Take settings of a network away.", NET, "networks.setting:unset"),
            Verb("start", "Start a network, now and with the host.", NET, "networks.network:Networks.start"),
            Verb("stop", "Stop a network.", NET, "networks.network:Networks.stop", then="kvist net start {name}"),
            Verb("autostart", "Start a network with its host, or not.", NET, "networks.network:Networks.autostart"),
            Verb("rename", "Give a network another name.", NET, "networks.network:Networks.rename"),
            Verb(
                "delete",
                "Remove a network that no VM uses.",
                NET,
                "networks.network:Networks.delete",
                asks="delete network {names}?",
                then="kvist undo",
            ),
            Verb(
                "leases",
                "List addresses: reserved, given out, and whose.",
                NET,
                "networks.names:leases",
                empty="no address is reserved or given out",
            ),
            Verb("reserve", "Reserve an address for a VM.", NET, "networks.names:reserve"),
            Verb("unreserve", "Give a reserved address free.", NET, "networks.names:unreserve"),
            Verb("host add", "Give an address a name that guests find.", NET, "networks.names:add_host"),
            Verb("host remove", "Take such a name away.", NET, "networks.names:remove_host"),
            Verb("expose", "Let other hosts reach the guests of a network.", NET, "networks.exposing:expose"),
            Verb("unexpose", "Let them reach it no longer.", NET, "networks.exposing:unexpose"),
            Verb("map", "Draw the networks of the host.", NET, "netview.map:map", forms=("svg",)),
            Verb("rules", "List the firewall rules for a network.", NET, "netview.rules:rules"),
            Verb("diagnose", "Find out why a VM does not reach the network.", V, "netview.diagnose:diagnose"),
        ),
    ),
    Noun(
        "bridge",
        "Bridges of the host.",
        (
            Verb("ls", "List the bridges.", BRIDGE, "bridges.bridge:Bridges.ls", empty="there is no bridge"),
            Verb("show", "Show all that is known about a bridge.", BRIDGE, "bridges.bridge:Bridges.show"),
            Verb(
                "create",
                "Make a bridge, of the host's uplink too.",
                BRIDGE,
                "bridges.bridge:Bridges.create",
                then="kvist bridge show {name}",
            ),
            Verb("set", "Change a bridge.", BRIDGE, "bridges.bridge:Bridges.set"),
            Verb("add-port", "Plug an interface of the host in.", BRIDGE, "bridges.bridge:Bridges.add_port"),
            Verb("remove-port", "Unplug an interface.", BRIDGE, "bridges.bridge:Bridges.remove_port"),
            Verb(
                "delete",
                "Remove a bridge; its address goes back to its port.",
                BRIDGE,
                "bridges.bridge:Bridges.delete",
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
                "forwards.forwards:Forwards.ls",
                empty="no port is forwarded; kvist forward add 8080 web:80 forwards one",
            ),
            Verb(
                "add",
                "Forward ports of the host to a VM.",
                FORWARD,
                "forwards.forwards:Forwards.add",
                then="kvist forward ls",
            ),
            Verb("remove", "Forward ports no longer.", FORWARD, "forwards.forwards:Forwards.remove"),
            Verb(
                "restore",
                "Put the forwards in force again.",
                FORWARD,
                "forwards.forwards:Forwards.restore",
                then="kvist forward ls",
            ),
        ),
    ),
    Noun(
        "filter",
        "Network filters: libvirt's own rules for the packets of a card.",
        (
            Verb("ls", "List the filters.", F, "filters.filter:Filters.ls", empty="there is no filter"),
            Verb("show", "Show a filter, rule by rule.", F, "filters.filter:Filters.show", forms=("xml",)),
            Verb(
                "create",
                "Make a filter.",
                F,
                "filters.filter:Filters.create",
                then="kvist filter add {name} drop in",
            ),
            Verb("set", "Change a filter.", F, "filters.filter:Filters.set", then="kvist filter show {name}"),
            Verb(
                "delete",
                "Remove filters.",
                F,
                "filters.filter:Filters.delete",
                asks="remove filter {names}?",
                absent=True,
            ),
            Verb("rename", "Give a filter another name.", F, "filters.filter:Filters.rename"),
            Verb("copy", "Make a filter like another.", F, "filters.filter:Filters.copy"),
            Verb("add", "Add a rule to a filter.", F, "filters.filter:Filters.add", then="kvist filter show {name}"),
            Verb(
                "remove",
                "Take a rule out of a filter.",
                F,
                "filters.filter:Filters.remove",
                then="kvist filter show {name}",
            ),
            Verb(
                "include",
                "Let a filter include another.",
                F,
                "filters.filter:Filters.include",
                then="kvist filter show {name}",
            ),
            Verb("exclude", "Let a filter not include another.", F, "filters.filter:Filters.exclude"),
        ),
    ),
)
