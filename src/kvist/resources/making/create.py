"""Make a VM; when it is there already as asked for, there is nothing to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Conflict, Invalid, Problem
from kvist.resources.making.creation import Creation
from kvist.resources.making.existing import differences
from kvist.resources.making.wish import Wish
from kvist.resources.steps.definition import SetAutostart
from kvist.resources.steps.power import Start
from kvist.specs.disk import Disk
from kvist.specs.graphics import Graphics
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.values import Duration

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host
    from kvist.resources.vms.machines import Machines

WAIT_WITHIN = Duration(300)
"""A Debian guest under TCG takes up to 160 s until cloud-init is done."""

SOURCE, DEVICES, GUEST, THEN = "What it is made from", "Devices", "In the guest", "And then"
COMMON = (
    "memory", "cpus", "title", "tags", "autostart", "arch", "machine", "firmware", "secure_boot", "cpu_mode", "boot",
    "kernel", "initrd", "cmdline",
)  # fmt: skip
"""Settings that --help shows; --help-all shows all."""


@operation
def create(
    self: Machines,
    name: Annotated[str, Ask("what to call it", metavar="NAME")],
    settings: Annotated[
        Vm,
        Ask(
            "settings of the VM, as in `kvist set`",
            group="Settings",
            common=COMMON,
            without=("forwards", "firewall", "groups"),
        ),
    ] = Vm(),  # noqa: B008 - immutable
    *,
    image: Annotated[
        str | None, Ask("image to make its first disk of", metavar="IMAGE", complete="image", group=SOURCE)
    ] = None,
    full: Annotated[bool, Ask("copy the image instead of storing only what changes", group=SOURCE)] = False,
    disk: Annotated[
        tuple[Disk, ...],
        Ask(
            "a disk: 20G makes one, /path/to/file uses one in place; more: size=,format=,bus=,cache= ...",
            metavar="SPEC",
            group=DEVICES,
        ),
    ] = (),
    nic: Annotated[
        tuple[Nic, ...],
        Ask("a card: NETWORK or BRIDGE,mac=,model=,ip= ...; none for no card at all", metavar="SPEC", group=DEVICES),
    ] = (),
    install: Annotated[
        str | None, Ask("installer to start: an ISO file, a directory or a URL", metavar="TREE", group=SOURCE)
    ] = None,
    extra_args: Annotated[
        tuple[str, ...], Ask("arguments for the installer's kernel", metavar="ARGS", group=SOURCE)
    ] = (),
    cdrom: Annotated[
        tuple[str, ...], Ask("ISO file to put into a CD-ROM drive and boot", metavar="ISO", group=SOURCE)
    ] = (),
    pxe: Annotated[bool, Ask("boot from the network", group=SOURCE)] = False,
    os: Annotated[
        str | None, Ask("guest's system as osinfo calls it: debian12, win11 ...", metavar="OS", group=SOURCE)
    ] = None,
    tpm: Annotated[Literal["1.2", "2.0"] | None, Ask("give it an emulated TPM of this version", group=DEVICES)] = None,
    graphics: Annotated[Graphics | None, Ask("its screen: vnc, spice or none", metavar="SPEC", group=DEVICES)] = None,
    user: Annotated[str | None, Ask("user to make in the guest and log in as", group=GUEST)] = None,
    ssh_key: Annotated[
        tuple[str, ...],
        Ask("public key, or file of one, that may log in; your own when not given", metavar="KEY", group=GUEST),
    ] = (),
    password: Annotated[str | None, Ask("password of that user, plain or hashed", group=GUEST)] = None,
    user_data: Annotated[
        str | None, Ask("file of cloud-init user data, merged with the rest", metavar="FILE", group=GUEST)
    ] = None,
    network_config: Annotated[
        str | None, Ask("file of cloud-init network configuration", metavar="FILE", group=GUEST)
    ] = None,
    packages: Annotated[tuple[str, ...], Ask("package to install at first boot", metavar="PACKAGE", group=GUEST)] = (),
    run: Annotated[tuple[str, ...], Ask("command to run at first boot", metavar="COMMAND", group=GUEST)] = (),
    hostname: Annotated[str | None, Ask("host name of the guest; the VM's when not given", group=GUEST)] = None,
    start: Annotated[bool, Ask("only define it, do not start it", group=THEN)] = True,
    console: Annotated[bool, Ask("open its console at once", group=THEN)] = False,
    wait: Annotated[
        Literal["ip", "ssh", "agent", "cloud-init"] | None,
        Ask("wait until it has an address, answers by ssh ...", group=THEN),
    ] = None,
    timeout: Annotated[Duration, Ask("how long to wait", metavar="TIME", group=THEN)] = WAIT_WITHIN,
) -> Iterator[Step]:
    """Make a VM and start it; when it is there already as asked for, there is nothing to do.

    Its first disk comes from --image, --disk, --install (an installer on a new disk of 10G), --cdrom or --pxe. The
    other settings follow from the guest's system and what this host offers (docs/defaults.md), unless they are given.

    Example: kvist create web --image debian-12 --memory 2G --cpus 2
    """
    wish = Wish(
        name, settings, image, full, disk, nic, install, extra_args, cdrom, pxe, os, tpm, graphics, user, ssh_key,
        password, user_data, network_config, packages, run, hostname,
    )  # fmt: skip
    unlit = [
        Problem(option, "it is not started; leave out --no-start")
        for option, given in (("--wait", wait), ("--console", console))
        if given and not start
    ]
    if name in self.host.connection.domains.names():
        if unlit:
            raise Invalid(unlit)
        if found := differences(self.host, wish):
            raise Conflict(f'VM "{name}" exists and is another: {"; ".join(found)}', hint=f"kvist show {name}")
        if start and not self.host.connection.domains.state(name).active:
            yield Start(name=name)
    else:
        yield from Creation(self.host, wish, unlit).steps(start=start)
    if settings.autostart is not None and _autostart(self.host, name) != settings.autostart:
        yield SetAutostart(name=name, on=settings.autostart)
    if wait:
        from kvist.resources.steps.waiting import WaitFor

        yield WaitFor(name=name, what=wait, where=self.host.place.name, timeout=float(timeout))
    if console:
        from kvist.resources.steps.waiting import Attach

        yield Attach(name=name, where=self.host.place.name)


def _autostart(host: Host, name: str) -> bool:
    return host.connection.domains.exists(name) and host.connection.domains.autostart(name)


class Maker:
    """Base of `Machines`, from which a type checker learns the signature of `host.vms.create`."""

    create = create
