"""The map of networks as a drawing: columns of boxes, uplink, bridge or network, card, VM, joined by lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvist.xml.svg import Drawing, height_of, width_of

if TYPE_CHECKING:
    from kvist.resources.netview.map import CardSeen, NetMap

MARGIN, GAP, BETWEEN = 16.0, 10.0, 70.0


class Node(NamedTuple):
    """A box: its key, its text, its look, and the boxes to its left, each with the look of the line to it."""

    key: str
    lines: tuple[str, ...]
    kind: str
    left: tuple[tuple[str, str], ...] = ()


class Spot(NamedTuple):
    """Where a box is."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


def picture(of: NetMap) -> str:
    """Draw the map."""
    columns = [_uplinks(of), _middle(of), _cards(of), _vms(of)]
    spots = _placed(columns)
    width = max((spot.x + spot.width for spot in spots.values()), default=200.0)
    height = max((spot.y + spot.height for spot in spots.values()), default=60.0)
    sheet = Drawing("networks", width + MARGIN, height + MARGIN)
    for node in (node for column in columns for node in column):
        here = spots[node.key]
        for key, look in node.left:
            if key in spots:
                there = spots[key]
                sheet.join(there.x + there.width, there.middle, here.x, here.middle, look)
        sheet.box(here.x, here.y, here.width, node.lines, node.kind)
    return sheet.text()


def _uplinks(of: NetMap) -> list[Node]:
    return [
        Node(
            f"uplink {each.name}",
            _lines(each.name, each.kind, *each.addresses, f"gateway {each.gateway}" if each.gateway else ""),
            "uplink" if each.up else "uplink off",
        )
        for each in of.uplinks
    ]


def _middle(of: NetMap) -> list[Node]:
    """Give networks, each with its bridge in one box, and bridges without a network."""
    ports: dict[str, list[str]] = {}
    for each in of.uplinks:
        ports.setdefault(each.bridge, []).append(f"uplink {each.name}")
    ports.pop("", None)
    bridges = {each.name: each for each in of.bridges}
    found = []
    for net in of.networks:
        bridge = bridges.get(net.bridge)
        own = net.addresses or (bridge.addresses if bridge else ())
        kind = "OVS bridge" if bridge and bridge.kind == "ovs" else "bridge"
        text = _lines(net.name, f"network, {net.mode}", f"{kind} {net.bridge}" if net.bridge else "", *own)
        left: tuple[tuple[str, str], ...] = ()
        if net.bridge in ports:
            left = tuple((port, "") for port in ports[net.bridge])
        elif net.uplink:
            left = ((f"uplink {of.leads(net.uplink)}", "routed"),)
        found.append(Node(f"net {net.name}", text, "bridge" if net.active else "bridge off", left))
    used = {net.bridge for net in of.networks}
    found += [
        Node(
            f"bridge {each.name}",
            _lines(each.name, "OVS bridge" if each.kind == "ovs" else "bridge", *each.addresses),
            "bridge" if each.up else "bridge off",
            tuple((port, "") for port in ports.get(each.name, ())),
        )
        for each in of.bridges
        if each.name not in used
    ]
    return found


def _cards(of: NetMap) -> list[Node]:
    on = {net.bridge: f"net {net.name}" for net in of.networks if net.bridge}
    found = []
    for each in of.cards:
        plug = f"net {each.network}" if each.network else on.get(each.bridge, f"bridge {each.bridge}")
        plug = f"uplink {each.dev}" if each.dev and not each.network else plug
        here = [one for one in of.forwards if one.to.partition(":")[0] in (each.addresses or (each.vm,))]
        text = _lines(
            each.tap or each.type,
            each.mac,
            *each.addresses,
            f"filter {each.filter}" if each.filter else "",
            "" if each.link else "cable pulled",
            *(f"{one.proto}/{one.port} -> {one.to}" for one in here),
        )
        look = "" if each.running and each.link else "off"
        found.append(Node(_key(each), text, f"card {look}".strip(), ((plug, look),)))
    return found


def _key(card: CardSeen) -> str:
    return f"card {card.vm} {card.mac}"


def _vms(of: NetMap) -> list[Node]:
    found: dict[str, Node] = {}
    for each in of.cards:
        look = "" if each.running else "off"
        known = found.get(each.vm)
        left = (*(known.left if known else ()), (_key(each), look))
        found[each.vm] = Node(f"vm {each.vm}", _lines(each.vm, look), f"vm {look}".strip(), left)
    return list(found.values())


def _lines(*words: str) -> tuple[str, ...]:
    return tuple(word for word in words if word)


def _placed(columns: list[list[Node]]) -> dict[str, Spot]:
    """Give each box its place: cards one below the other, sorted by what they hang on, the others beside theirs."""
    order = {node.key: at for at, node in enumerate(columns[1])}
    columns[2].sort(key=lambda node: order.get(node.left[0][0], len(order)))
    widths = [max((width_of(node.lines) for node in column), default=0.0) for column in columns]
    spots: dict[str, Spot] = {}
    # From the cards to the left, each at the height of what hangs on it; then the VMs, at that of their cards.
    for at in (2, 1, 0, 3):
        x = MARGIN + sum(wide + BETWEEN for wide in widths[:at] if wide)
        wished = [(_wish(node, columns, spots, at), number, node) for number, node in enumerate(columns[at])]
        y = MARGIN
        for wish, _, node in sorted(wished, key=lambda one: (one[0] is None, one[0] or 0.0, one[1])):
            high = height_of(node.lines)
            y = max(y, (wish or 0.0) - high / 2)
            spots[node.key] = Spot(x, y, widths[at], high)
            y += high + GAP
    return spots


def _wish(node: Node, columns: list[list[Node]], spots: dict[str, Spot], at: int) -> float | None:
    """Give the height that a box should have its middle at: that of its neighbours that have their place."""
    if at == 2:
        return None
    if at == 3:
        near = [spots[key].middle for key, _ in node.left if key in spots]
    else:
        near = [spots[each.key].middle for each in columns[at + 1] if node.key in {key for key, _ in each.left}]
    return sum(near) / len(near) if near else None
