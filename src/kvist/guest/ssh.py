"""Reach a guest by OpenSSH: its command lines, the key, and host keys remembered by UUID instead of by address.

Guests come and go and take each other's addresses, so host keys are kept in a file of kvist's own, under the UUID
(`HostKeyAlias`, ssh_config(5)): a new VM at an old address is never mistaken for an attack, nor an attack for a new VM.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kvist.errors import Failed, Invalid, NotFound

OWN_KEYS = ("id_ed25519", "id_ecdsa", "id_ed25519_sk", "id_ecdsa_sk", "id_rsa")
"""Keys of the user that are tried, best first: the names that ssh itself knows, less the DSA that servers refuse."""

_WORD = re.compile(r"[^\s\"\\]+")


class Key(NamedTuple):
    """A key pair on this machine; `made` when kvist has just made it."""

    identity: Path
    public: Path
    made: bool = False

    @property
    def text(self) -> str:
        """The public key as one line, the form that authorized_keys and a seed want."""
        return self.public.read_text().strip()


class Target(NamedTuple):
    """Where a guest is and how to get in. `proxy` is a command that connects its streams to %h and %p.

    `key` is the only one that is tried; `offer` are tried besides those of the user's agent.
    """

    address: str
    uuid: str
    user: str | None = None
    key: Path | None = None
    port: int = 22
    proxy: Sequence[str] = ()
    offer: Sequence[Path] = ()


class Endpoint(NamedTuple):
    """One side of a copy: a local path when `vm` is None."""

    vm: str | None
    path: str
    user: str | None = None


def data_directory() -> Path:
    """Give the directory where kvist keeps this user's key and host keys; it is made when it is not there."""
    base = os.environ.get("XDG_DATA_HOME")
    directory = (Path(base) if base else Path.home() / ".local" / "share") / "kvist"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def options(
    target: Target,
    known_hosts: Path,
    *,
    batch: bool = False,
    timeout: int = 10,
    multiplex: Path | None = None,
) -> list[tuple[str, str]]:
    """Give the ssh_config(5) options that lead to a guest.

    `batch` never asks for anything; `timeout` bounds the connecting, in seconds; `multiplex` is a directory for the
    sockets of connections that are shared for a minute (its path 60 characters at most: a socket's name is short).
    """
    if not re.fullmatch(r"[0-9A-Za-z.:_%-]+", target.address) or target.address.startswith("-"):
        raise Invalid(f'"{target.address}" is not an address that ssh could reach')
    chosen = [
        ("HostName", target.address.replace("%", "%%")),
        ("Port", str(target.port)),
        ("HostKeyAlias", target.uuid),
        ("UserKnownHostsFile", _path(known_hosts)),
        # A readable file, from which the keys of a deleted VM can be taken out.
        ("HashKnownHosts", "no"),
        ("CheckHostIP", "no"),
        ("StrictHostKeyChecking", "accept-new"),
        ("ConnectTimeout", str(timeout)),
        ("ServerAliveInterval", "15"),
        ("ServerAliveCountMax", "3"),
        ("LogLevel", "ERROR"),
    ]
    if target.user:
        chosen.append(("User", target.user))
    if target.key:
        chosen += [("IdentityFile", _path(target.key)), ("IdentitiesOnly", "yes")]
    else:
        chosen += [("IdentityFile", _path(key)) for key in target.offer]
    if batch:
        chosen.append(("BatchMode", "yes"))
    if multiplex:
        chosen += [
            ("ControlMaster", "auto"),
            ("ControlPath", _path(multiplex, "/%C")),
            ("ControlPersist", "60"),
        ]
    if target.proxy:
        chosen.append(("ProxyCommand", shlex.join(target.proxy)))
    return chosen


def argv(
    target: Target,
    known_hosts: Path,
    command: Sequence[str] = (),
    *,
    tty: bool | None = None,
    batch: bool = False,
    timeout: int = 10,
    multiplex: Path | None = None,
) -> list[str]:
    """Build the ssh command line. One word of command is a line for the guest's shell; several keep their boundaries.

    `tty` asks for a terminal or forbids it; None leaves it to ssh.
    """
    line = ["ssh", *_dashed(options(target, known_hosts, batch=batch, timeout=timeout, multiplex=multiplex))]
    if tty is not None:
        line.append("-t" if tty else "-T")
    line += ["--", target.uuid]
    if command:
        line.append(command[0] if len(command) == 1 else shlex.join(command))
    return line


def scp_argv(
    target: Target,
    known_hosts: Path,
    sources: Sequence[Endpoint],
    destination: Endpoint,
    *,
    recursive: bool = False,
    timeout: int = 10,
    multiplex: Path | None = None,
) -> list[str]:
    """Build the scp command line for a copy into the guest or out of it.

    Raises Invalid unless exactly one side is the guest.
    """
    remote = {source.vm for source in sources}
    if len(remote) != 1 or (None in remote) == (destination.vm is None):
        raise Invalid(
            "a copy goes from this machine to one VM, or from one VM to this machine",
            hint="kvist cp VM:/path . ; kvist cp ./path OTHER:",
        )
    users = {place.user for place in (*sources, destination)} - {None}
    if len(users) > 1:
        raise Invalid(f"one copy has one user, not {' and '.join(sorted(filter(None, users)))}")
    whose = target._replace(user=users.pop() or target.user) if users else target
    chosen = _dashed(options(whose, known_hosts, batch=False, timeout=timeout, multiplex=multiplex))
    places = [_place(target, place) for place in (*sources, destination)]
    return ["scp", "-q", *(["-r"] if recursive else []), *chosen, "--", *places]


def config_entry(name: str, target: Target, known_hosts: Path) -> str:
    """Write the paragraph of an ssh_config file that lets `ssh NAME`, git, rsync and editors reach the guest."""
    lines = [f"    {option} {value}" for option, value in options(target, known_hosts)]
    for line in (name, *lines):
        if not line.isprintable():
            raise Invalid(f'"{name}" cannot be written into an ssh configuration: a value has a line break')
    return "\n".join((f"Host {name}", *lines, ""))


def parse_endpoint(text: str) -> Endpoint:
    """Read one side of a copy, as scp does: `web:/etc/hosts`, `root@web:`; local without a colon before any slash."""
    head, colon, path = text.partition(":")
    if not colon or "/" in head:
        if not text:
            raise Invalid("an empty path copies nothing")
        return Endpoint(None, text)
    user, at, vm = head.rpartition("@")
    if not vm or (at and not user):
        raise Invalid(f'"{text}" names no VM', hint="write VM:/path, or ./NAME for a local file with a colon in it")
    return Endpoint(vm, path or ".", user or None)


def ensure_key(home: Path | None = None, data: Path | None = None) -> Key:
    """Give the user's own ssh key, or make one for kvist (ed25519, no passphrase, mode 0600) when there is none."""
    own = (home or Path.home()) / ".ssh"
    for name in OWN_KEYS:
        public = own / f"{name}.pub"
        if public.is_file():
            private = own / name
            # The public half is enough for ssh when an agent holds the other.
            return Key(private if private.exists() else public, public)
    directory = (data or data_directory()) / "ssh"
    key = Key(directory / "id_ed25519", directory / "id_ed25519.pub")
    return key if key.public.is_file() and key.identity.is_file() else _make(directory, key)


def keys_at_hand(home: Path | None = None, data: Path | None = None) -> list[Path]:
    """List the keys that may open a guest: kvist's own, then the user's; empty where ssh finds all there are by itself.

    Naming one key on ssh's command line makes it forget those it knows by itself, so all are named or none.
    """
    made = (data or data_directory()) / "ssh" / "id_ed25519"
    if not made.is_file():
        return []
    own = (home or Path.home()) / ".ssh"
    return [made, *(own / name for name in OWN_KEYS if (own / name).is_file())]


def read_key(path: Path) -> Key:
    """Take a key that the user names, by either half. Raises NotFound without a public half."""
    public = path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
    if not public.is_file():
        raise NotFound(f'ssh key "{path}" has no public half "{public}"', hint=f"ssh-keygen -y -f {path} > {public}")
    private = public.with_suffix("")
    return Key(private if private.is_file() else public, public)


def forget(uuid: str, known_hosts: Path) -> bool:
    """Take the host keys of a VM out of the file; False when there were none."""
    try:
        lines = known_hosts.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return False
    kept = [line for line in lines if line.split(" ", 1)[0] != uuid]
    if len(kept) == len(lines):
        return False
    fresh = known_hosts.with_name(f"{known_hosts.name}.{os.getpid()}")
    fresh.write_text("".join(kept))
    fresh.chmod(0o600)
    fresh.replace(known_hosts)
    return True


def _make(directory: Path, key: Key) -> Key:
    from shutil import rmtree
    from tempfile import mkdtemp

    from kvist.host.run import need, run

    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = Path(mkdtemp(prefix=".ssh-", dir=directory.parent))
    try:
        program = need("ssh-keygen", "openssh-client")
        run([program, "-q", "-t", "ed25519", "-N", "", "-C", "kvist", "-f", str(fresh / key.identity.name)], timeout=30)
        try:
            # The pair appears at once or not at all; whoever else was quicker has won.
            fresh.rename(directory)
        except OSError as taken:
            if not (key.public.is_file() and key.identity.is_file()):
                raise Failed(
                    f'cannot put a new ssh key into "{directory}": {taken.strerror}',
                    hint=f"mv {directory} {directory}.old",
                ) from taken
            return key
    finally:
        rmtree(fresh, ignore_errors=True)
    return key._replace(made=True)


def _place(target: Target, place: Endpoint) -> str:
    if place.vm is not None:
        return f"{target.uuid}:{place.path}"
    # A colon before any slash would make scp look for a host of that name.
    return f"./{place.path}" if ":" in place.path.split("/", 1)[0] else place.path


def _dashed(chosen: Sequence[tuple[str, str]]) -> list[str]:
    return [word for option, value in chosen for word in ("-o", f"{option}={value}")]


def _path(path: Path, token: str = "") -> str:
    """Write a path for ssh_config, where % introduces a token and a space ends a word."""
    text = str(path).replace("%", "%%") + token
    return text if _WORD.fullmatch(text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
