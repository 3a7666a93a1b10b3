"""What cloud-init finds at the first boot: user, keys, packages, commands, network, on a small disk labelled `cidata`.

https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from kvist.errors import Invalid, Problem
from kvist.values import Cidr, Mac

Plain: TypeAlias = str | int | bool | Sequence["Plain"] | Mapping[str, "Plain"] | None
"""What JSON can say, and so YAML, which contains it."""

VOLUME = "cidata"

KINDS = {
    "#cloud-config-archive": "cloud-config-archive",
    "#cloud-config": "cloud-config",
    "#cloud-boothook": "cloud-boothook",
    "#include-once": "x-include-once-url",
    "#include": "x-include-url",
    "#part-handler": "part-handler",
    "## template: jinja": "jinja2",
    "#!": "x-shellscript",
}
"""First lines of user data and the MIME subtypes that cloud-init knows them by."""

MERGE = "list(append)+dict(no_replace,recurse_list)+str()"
"""What the user wrote wins, what kvist adds fills in, lists get both."""

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}\$?")
_KEY = re.compile(r"(?:[a-z-]+=?\S* )?(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+(?: .*)?")


class Card(NamedTuple):
    """How one network card gets its addresses: by DHCP when none are given."""

    mac: Mac
    addresses: Sequence[Cidr] = ()
    gateways: Sequence[str] = ()
    dns: Sequence[str] = ()
    search: Sequence[str] = ()
    mtu: int | None = None


class Seed(NamedTuple):
    """What a guest is told at its first boot. The same seed gives the same bytes.

    `password_hash` comes from `password.hashed`: a seed holds no plain password. `user_data` and `network_config` are
    the user's own texts; the first is merged with what kvist adds (the user's word wins), the second replaces `cards`.
    A new `instance_id` makes cloud-init run once more on a copied disk.
    """

    hostname: str
    instance_id: str
    user: str | None = None
    ssh_keys: Sequence[str] = ()
    password_hash: str | None = None
    packages: Sequence[str] = ()
    run: Sequence[str] = ()
    cards: Sequence[Card] = ()
    locale: str | None = None
    timezone: str | None = None
    shell: str = "/bin/bash"
    user_data: str | None = None
    network_config: str | None = None

    def image(self) -> bytes:
        """Give the disk image: ISO 9660, to be attached read-only. Raises Invalid with every problem found."""
        from kvist.guest.iso import pack

        return pack(VOLUME, self.files())

    def files(self) -> dict[str, bytes]:
        """Give the files of the seed by name. Raises Invalid with every problem found."""
        problems = list(_problems(self))
        if problems:
            raise Invalid(problems)
        files = {
            "meta-data": _text({"instance-id": self.instance_id, "local-hostname": self.hostname}),
            "user-data": _user_data(self),
        }
        if self.network_config is not None:
            files["network-config"] = self.network_config.encode()
        elif self.cards:
            files["network-config"] = _text(network(self.cards))
        return files


def known_hash(image: bytes) -> str | None:
    """Find the password hash in an earlier seed, so that the same password keeps it (`password.hashed`)."""
    from kvist.guest.iso import unpack

    found = re.search(rb'"\$6\$[./A-Za-z0-9]+\$[./A-Za-z0-9]+"', _decoded(unpack(image).get("user-data", b"")))
    return found[0].decode().strip('"') if found else None


def cloud_config(seed: Seed) -> dict[str, Plain]:
    """Give what kvist itself asks of cloud-init."""
    config: dict[str, Plain] = {"hostname": seed.hostname, "manage_etc_hosts": "localhost"}
    if seed.user == "root":
        config["disable_root"] = False
        config["users"] = [{"name": "root", "ssh_authorized_keys": list(seed.ssh_keys)}]
        if seed.password_hash:
            # An account that exists keeps its password whatever `users` says; this module changes it.
            changed: Plain = [{"name": "root", "password": seed.password_hash, "type": "hash"}]
            config["chpasswd"] = {"expire": False, "users": changed}
    elif seed.user is not None:
        account: dict[str, Plain] = {
            "name": seed.user,
            "shell": seed.shell,
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "lock_passwd": seed.password_hash is None,
            "ssh_authorized_keys": list(seed.ssh_keys),
        }
        if seed.password_hash:
            account["hashed_passwd"] = seed.password_hash
        config["users"] = [account]
    elif seed.ssh_keys:
        config["ssh_authorized_keys"] = list(seed.ssh_keys)
    if seed.password_hash:
        config["ssh_pwauth"] = True
    if seed.packages:
        config["package_update"] = True
        config["packages"] = list(seed.packages)
    if seed.run:
        config["runcmd"] = list(seed.run)
    if seed.locale:
        config["locale"] = seed.locale
    if seed.timezone:
        config["timezone"] = seed.timezone
    return config


def network(cards: Sequence[Card]) -> dict[str, Plain]:
    """Give the network configuration, version 2, each card found by its MAC and named eth0, eth1 ...

    https://docs.cloud-init.io/en/latest/reference/network-config-format-v2.html
    """
    ethernets: dict[str, Plain] = {}
    for number, card in enumerate(cards):
        # Some renderers (ifcfg, interfaces) write files by name, so the name has to be known: hence set-name.
        entry: dict[str, Plain] = {"match": {"macaddress": card.mac}, "set-name": f"eth{number}"}
        if card.addresses:
            entry["dhcp4"] = False
            entry["addresses"] = [str(address) for address in card.addresses]
        else:
            entry["dhcp4"] = True
        if card.gateways:
            # `to: default` is not understood by the cloud-init of older distributions.
            entry["routes"] = [_route(via, card.addresses) for via in card.gateways]
        servers: dict[str, Plain] = {}
        if card.dns:
            servers["addresses"] = list(card.dns)
        if card.search:
            servers["search"] = list(card.search)
        if servers:
            entry["nameservers"] = servers
        if card.mtu is not None:
            entry["mtu"] = card.mtu
        if number:
            entry["optional"] = True
        ethernets[f"eth{number}"] = entry
    return {"version": 2, "ethernets": ethernets}


def _route(via: str, addresses: Sequence[Cidr]) -> dict[str, Plain]:
    route: dict[str, Plain] = {"to": "::/0" if ":" in via else "0.0.0.0/0", "via": via}
    if all(_lonely(address) for address in addresses if (":" in address.address) == (":" in via)):
        route["on-link"] = True
    return route


def _lonely(address: Cidr) -> bool:
    """Whether the network holds this one address only, so that its gateway lies outside, as some hosters have it."""
    return address.prefix == (128 if ":" in address.address else 32)


def _user_data(seed: Seed) -> bytes:
    ours = b"#cloud-config\n" + _text(cloud_config(seed))
    if seed.user_data is None:
        return ours
    from email import policy
    from email.message import Message
    from email.mime.multipart import MIMEMultipart
    from email.mime.text import MIMEText
    from hashlib import sha256

    parts: list[Message] = []
    if _is_mime(seed.user_data):
        from email import message_from_string

        parts += [part for part in message_from_string(seed.user_data).walk() if not part.is_multipart()]
    else:
        parts.append(MIMEText(seed.user_data, _kind(seed.user_data) or "plain", "utf-8"))
    added = MIMEText(ours.decode(), "cloud-config", "utf-8")
    added["Merge-Type"] = MERGE
    digest = sha256(ours + seed.user_data.encode()).hexdigest()
    whole = MIMEMultipart("mixed", f"=={digest[:32]}==", [*parts, added])
    return whole.as_bytes(policy=policy.compat32)


def _decoded(user_data: bytes) -> bytes:
    if not user_data.startswith(b"Content-Type:"):
        return user_data
    from email import message_from_bytes

    leaves = (part.get_payload(decode=True) for part in message_from_bytes(user_data).walk() if not part.is_multipart())
    return b"\n".join(payload for payload in leaves if isinstance(payload, bytes))


def _kind(user_data: str) -> str | None:
    first = user_data.split("\n", 1)[0].strip().lower()
    return next((kind for start, kind in KINDS.items() if first.startswith(start)), None)


def _is_mime(user_data: str) -> bool:
    return user_data.lower().startswith(("content-type: multipart/", "mime-version:"))


def _text(value: Plain) -> bytes:
    import json

    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def _problems(seed: Seed) -> Iterator[Problem]:
    from kvist.guest.password import CRYPT

    if not _HOSTNAME.fullmatch(seed.hostname):
        yield Problem("hostname", f'"{seed.hostname}" is not a host name: letters, digits and hyphens, parted by dots')
    if not seed.instance_id or not seed.instance_id.isprintable():
        yield Problem(
            "instance_id", f'"{seed.instance_id}" is not an instance id: one printable word, such as the UUID'
        )
    if seed.user is not None and not _USER.fullmatch(seed.user):
        yield Problem("user", f'"{seed.user}" is not a user name: small letters, digits, _ and -, 32 at most')
    if seed.password_hash is not None and not CRYPT.fullmatch(seed.password_hash):
        yield Problem("password", "the password is not hashed; a seed never holds a plain one")
    if seed.password_hash is not None and seed.user is None:
        yield Problem("password", "a password needs the user that it belongs to", "--user NAME")
    for number, key in enumerate(seed.ssh_keys):
        if "PRIVATE KEY" in key:
            yield Problem(
                f"ssh_keys[{number}]", "this is a private key; give the public one", "use the .pub file beside it"
            )
        elif not _KEY.fullmatch(key.strip()):
            yield Problem(
                f"ssh_keys[{number}]", f'"{key[:40]}" is not an OpenSSH public key such as "ssh-ed25519 AAAA..."'
            )
    if seed.user_data is not None and not _is_mime(seed.user_data) and _kind(seed.user_data) is None:
        first = seed.user_data.split("\n", 1)[0][:60]
        known = ", ".join(f'"{start}"' for start in KINDS)
        yield Problem(
            "user_data",
            f'first line "{first}" says nothing to cloud-init, which would ignore the whole',
            f"begin with one of {known}",
        )
    if seed.network_config is not None and "version" not in seed.network_config:
        yield Problem("network_config", "has no version", 'begin with "version: 2"')
    for number, card in enumerate(seed.cards):
        yield from _card_problems(number, card)


def _card_problems(number: int, card: Card) -> Iterator[Problem]:
    from ipaddress import ip_address, ip_interface

    path = f"cards[{number}]"
    if card.gateways and not card.addresses:
        yield Problem(
            f"{path}.gateway", "a gateway needs an address beside it; DHCP gives its own", "ip=ADDRESS/PREFIX"
        )
    networks = [ip_interface(str(address)).network for address in card.addresses]
    for name, values in (("gateway", card.gateways), ("dns", card.dns)):
        for value in values:
            try:
                address = ip_address(value)
            except ValueError:
                yield Problem(f"{path}.{name}", f'"{value}" is not an address such as 192.168.1.1')
                continue
            # An IPv6 gateway is often the router's link-local address, in nobody's network.
            reachable = (
                address.is_link_local or any(address in one for one in networks) or any(map(_lonely, card.addresses))
            )
            if name == "gateway" and networks and not reachable:
                inside = " or ".join(map(str, networks))
                yield Problem(
                    f"{path}.gateway", f'gateway "{value}" lies outside {inside}, where the guest cannot reach it'
                )
