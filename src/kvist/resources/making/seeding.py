"""What cloud-init is told about a new VM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kvist.errors import Invalid, Problem
from kvist.guest.password import hashed
from kvist.guest.seed import Card, Seed
from kvist.guest.ssh import ensure_key
from kvist.specs.nic import Nic
from kvist.values import Cidr, Mac, Name

if TYPE_CHECKING:
    from kvist.resources.making.wish import Wish


def seed(wish: Wish, uuid: str, user: str | None, nics: Sequence[Nic], problems: list[Problem]) -> Seed:
    """Make the seed of a new VM: who it is, who may log in, what is installed and run.

    A file that cannot be read goes to `problems`, and the seed is made without it, so that the rest is looked at too.
    """

    def read(path: str | None, option: str) -> str | None:
        try:
            return _file(path, option)
        except Invalid as wrong:
            problems.extend(wrong.problems)
            return None

    given = [key if " " in key else read(key, "--ssh-key") for key in wish.ssh_keys]
    return Seed(
        hostname=wish.hostname or Name(wish.name).hostname,
        instance_id=uuid,
        user=user,
        ssh_keys=tuple(filter(None, given)) if wish.ssh_keys else (ensure_key().text,),
        password_hash=hashed(wish.password) if wish.password is not None else None,
        packages=wish.packages,
        run=wish.run,
        cards=_cards(nics),
        user_data=read(wish.user_data, "--user-data"),
        network_config=read(wish.network_config, "--network-config"),
        shell="/bin/sh" if user == "root" else "/bin/bash",
    )


def _cards(nics: Sequence[Nic]) -> tuple[Card, ...]:
    """Describe the cards when there are several, of which cloud-init by itself sets up the first alone, or one with
    an address of its own."""
    if len(nics) < 2 and not any(nic.ip for nic in nics):
        return ()
    return tuple(
        Card(
            mac=Mac(str(nic.mac)),
            addresses=(Cidr.parse(str(nic.ip)),) if nic.ip and "/" in str(nic.ip) else (),
            gateways=(nic.gateway,) if nic.gateway else (),
            dns=nic.dns or (),
            mtu=nic.mtu,
        )
        for nic in nics
    )


def _file(path: str | None, option: str) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).expanduser().read_text().strip("\n") + ("\n" if option != "--ssh-key" else "")
    except FileNotFoundError as missing:
        raise Invalid([Problem(option, f'there is no file "{path}"')]) from missing
    except OSError as wrong:
        raise Invalid([Problem(option, f'cannot read "{path}": {wrong.strerror}')]) from wrong
    except UnicodeDecodeError as wrong:
        raise Invalid([Problem(option, f'"{path}" is no text')]) from wrong
