"""One VM in the making: what is typed, what the guest's system wants and what the host offers become one document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kvist.engine.step import Step
from kvist.errors import Invalid, KvistError, NotFound, Problem, Unsupported
from kvist.resources.devices.disk import Disks, in_use, lies_on_host
from kvist.resources.devices.nic import Nics, bare, nothing
from kvist.resources.firewall.following import followed
from kvist.resources.hosts.accel import Accel, accel
from kvist.resources.making import defaults
from kvist.resources.making.contradictions import contradictions, ignored
from kvist.resources.making.wish import Wish
from kvist.resources.steps.definition import Define
from kvist.resources.steps.power import Start
from kvist.specs.disk import Disk
from kvist.specs.graphics import Graphics
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.values import Name, Size
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.guest.installer import Installer
    from kvist.guest.osinfo import Os
    from kvist.resources.hosts.host import Host
    from kvist.resources.images.image import Image
    from kvist.resources.making.install import Installation
    from kvist.virt.capabilities import Offer


class Creation:
    """One VM in the making. Everything wrong with the wish is gathered, and raised at once before anything is done."""

    def __init__(self, host: Host, wish: Wish, problems: Sequence[Problem] = ()) -> None:
        self.host, self.wish = host, wish
        self.problems: list[Problem] = list(problems)
        self.uuid = str(uuid4())
        try:
            Name.parse(wish.name)
        except ValueError as wrong:
            self.problems.append(Problem("NAME", str(wrong)))

    def steps(self, *, start: bool) -> Iterator[Step]:
        """Work out all steps. Raises Invalid with every problem."""
        self._check_settings()
        disks = Disks(
            self.host,
            self.wish.name,
            bus=self.board.disk_bus,
            cdrom_bus=self.board.cdrom_bus,
            problems=self.problems,
            targets=[disk.target for disk in self.wish.disks if disk.target],
        )
        self._disks(disks)
        nics = Nics(self.host, model=self.board.nic_model, problems=self.problems).plan(self.wish.nics)
        addresses = self._addresses(nics)
        installer = self._installer(disks, nics)
        if self._seeded:
            self._seed(disks, nics)
        self._check_use(disks)
        if self.problems:
            raise Invalid(self.problems, hint="kvist create --help")
        vm = self._vm(disks, nics)
        if self.accel.warning:
            self.host.site.report(f"warning: {self.accel.warning}", 1.0)
        if unread := ignored(self.wish, self.image):
            self.host.site.report(
                f'warning: image "{self.wish.image}" has no cloud-init, and its guest ignores {", ".join(unread)}', 1.0
            )
        yield from disks.steps()
        define = Define(name=self.wish.name, uuid=self.uuid, xml=self._document(vm), shown=_shown(vm))
        # By its tags it may be in a group of the firewall's: before it sends anything.
        yield from followed(self.host.site, [define]) if vm.tags else (define,)
        yield from addresses
        if not start:
            return
        if installer is not None:
            from kvist.resources.steps.install import StartInstaller

            yield StartInstaller(name=self.wish.name, xml=self._document(installer.applied(vm)))
        else:
            yield Start(name=self.wish.name)

    @cached_property
    def image(self) -> Image | None:
        """The image it is made from."""
        if self.wish.image is None:
            return None
        try:
            return self.host.images.find(self.wish.image)
        except NotFound as missing:
            self.problems.append(Problem("--image", missing.what, missing.hint))
            return None

    @cached_property
    def arch(self) -> str:
        """Its architecture: the one that is asked for, the image's, or the host's."""
        if self.wish.settings.arch:
            return self.wish.settings.arch
        return self.image.arch if self.image else self.host.connection.capabilities.arch

    @cached_property
    def accel(self) -> Accel:
        """Whether it runs on the processor or is emulated."""
        if self.wish.settings.virt and self._known_arch:
            return Accel(self.wish.settings.virt)
        try:
            return accel(self.host, self.arch)
        except Unsupported as wrong:
            self.problems.append(Problem("--arch", wrong.what, wrong.hint))
            return Accel("qemu")

    @cached_property
    def system(self) -> Os | None:
        """What the osinfo database knows of its system; None where nobody says which it is."""
        name = self.wish.system or (self.image.os if self.image else None) or self._medium_system
        if not name or name == "none":
            return None
        from kvist.guest.osinfo import Database

        try:
            return Database().lookup(name, self.arch, nearest=True)
        except (NotFound, Unsupported) as missing:
            if self.wish.system:
                self.problems.append(Problem("--os", missing.what, missing.hint))
            return None

    @cached_property
    def _medium_system(self) -> str | None:
        medium = self.wish.cdrom[0] if self.wish.cdrom else None
        if self._found_installer is not None:
            return self._found_installer.os
        if medium is None or not Path(medium).is_file():
            return None
        from kvist.guest.media import opened
        from kvist.guest.osinfo import Database

        try:
            with opened(medium) as tree:
                labels = tree.labels
            found = Database().detect_iso(
                labels.volume, system=labels.system, publisher=labels.publisher, application=labels.application
            )
        except KvistError:
            # What cannot be recognised is no mistake of the user's: it boots all the same.
            return None
        return found.os.short_id if found else None

    @cached_property
    def _found_installer(self) -> Installer | None:
        from kvist.guest import installer
        from kvist.guest.media import opened

        if self.wish.install is None:
            return None
        try:
            with opened(self.wish.install) as tree:
                return installer.find(tree, self.wish.settings.arch or self.host.connection.capabilities.arch)
        except KvistError as wrong:
            self.problems.append(Problem("--install", wrong.what, wrong.hint))
            return None

    @cached_property
    def board(self) -> defaults.Board:
        """Its board and what the kinds of its devices are."""
        return defaults.board(self.arch, self.accel.kind, self.wish.settings.machine, self.system)

    @cached_property
    def offer(self) -> Offer | None:
        """What this host's QEMU has for such a VM."""
        if self.accel.kind == "test" or not self._known_arch:
            return None
        return self.host.connection.capabilities.offer(
            arch=self.arch, kind=self.accel.kind, machine=self.board.machine or None
        )

    @property
    def _known_arch(self) -> bool:
        connection = self.host.connection
        return connection.scheme == "test" or self.arch in connection.capabilities.architectures

    @property
    def _seeded(self) -> bool:
        told = (self.wish.user_data, self.wish.network_config, self.wish.packages, self.wish.run, self.wish.hostname,
                self.wish.user, self.wish.password, self.wish.ssh_keys)  # fmt: skip
        return self.wish.image is not None or (any(told) and self.wish.install is None)

    def _check_settings(self) -> None:
        settings = self.wish.settings
        has = Size(self.host.connection.memory)
        for option, size in (("--memory", settings.memory), ("--memory-max", settings.memory_max)):
            if size is not None and size > has:
                self.problems.append(Problem(option, f"{size} is more than the host has ({has.short})"))
        if (settings.memory or 0) > (settings.memory_max or settings.memory or 0):
            self.problems.append(
                Problem("--memory-max", f"{settings.memory_max} is less than --memory {settings.memory}")
            )
        if (settings.cpus or 0) > (settings.cpus_max or settings.cpus or 0):
            self.problems.append(Problem("--cpus-max", f"{settings.cpus_max} is less than --cpus {settings.cpus}"))
        if settings.secure_boot and settings.firmware == "bios":
            self.problems.append(
                Problem("--secure-boot", "it is UEFI that knows secure boot: leave out --firmware bios")
            )
        if settings.memory is not None and settings.memory < 4 << 20:
            self.problems.append(Problem("--memory", f"{settings.memory} is too little to start anything in"))
        most = self.offer.max_cpus if self.offer else 0
        if settings.cpus is not None and most and settings.cpus > most:
            self.problems.append(Problem("--cpus", f"{settings.cpus} is more than a VM of this kind can have ({most})"))
        self._check_firmware()
        self._check_kernel()
        self.problems += contradictions(self.wish, self.offer)
        if self.image is not None and self.image.arch != self.arch:
            self.problems.append(
                Problem(
                    "--arch",
                    f'image "{self.image.name}" is for {self.image.arch}, not for {self.arch}',
                    "kvist image ls",
                )
            )
        if self.image is not None and settings.firmware and settings.firmware not in _firmwares(self.image):
            boots = " and ".join(_firmwares(self.image))
            self.problems.append(Problem("--firmware", f'image "{self.image.name}" boots by {boots} only'))
        given = (self.wish.image, self.wish.disks, self.wish.install, self.wish.cdrom, self.wish.pxe, settings.kernel)
        if not any(given):
            self.problems.append(
                Problem("", "nothing to boot from", "give --image, --disk, --install, --cdrom, --pxe or --kernel")
            )
        if self.wish.pxe and self.wish.nics and all(map(nothing, self.wish.nics)):
            self.problems.append(Problem("--pxe", "to boot from the network it needs a card; leave out --nic none"))
        if self.wish.install and self.wish.image:
            self.problems.append(Problem("--install", "an installer makes its own disk; leave out --image"))

    def _check_firmware(self) -> None:
        wanted = self.wish.settings.firmware or defaults.firmware(self.arch)
        if wanted == "efi" and self.offer is not None and "efi" not in self.offer.firmwares:
            package = "qemu-efi-aarch64" if self.arch == "aarch64" else "ovmf"
            self.problems.append(Problem("--firmware", "this host has no UEFI for such a VM", f"apt install {package}"))

    def _check_kernel(self) -> None:
        if not (self.host.place.local or self.host.place.sandbox):
            return
        for option in ("kernel", "initrd"):
            path = self.wish.settings.get(option)
            if path and not lies_on_host(self.host, path):
                self.problems.append(Problem(f"--{option}", f'there is no file "{path}" on {self.host.place.name}'))

    def _disks(self, disks: Disks) -> None:
        wishes = list(self.wish.disks)
        if self.wish.image:
            # The first disk that is typed without a source of its own says how the image's is to be.
            first = wishes.pop(0) if wishes and not _has_source(wishes[0]) else None
            if self.image is not None:
                disks.image(self.image, first, full=self.wish.full)
            elif first is not None and first.size is not None:
                disks.add(first)
        elif not wishes and (self.wish.install or self.wish.cdrom):
            least = self.system.recommended_disk if self.system else None
            wishes = [Disk(size=max(least or Size(0), Size(10 << 30)))]
        for wish in wishes:
            disks.add(wish)
        for medium in self.wish.cdrom:
            disks.medium(medium)

    def _installer(self, disks: Disks, nics: Sequence[Nic]) -> Installation | None:
        if self._found_installer is None:
            return None
        from kvist.resources.making.install import Installation

        return Installation.plan(self.wish, self._found_installer, disks, nics)

    def _addresses(self, nics: Sequence[Nic]) -> Sequence[Step]:
        if not any(nic.ip for nic in nics) or any(problem.path == "--nic" for problem in self.problems):
            return ()
        from kvist.resources.networks.reserving import reserved

        return reserved(self.host, self.wish.name, nics, self.problems, "--nic")

    def _seed(self, disks: Disks, nics: Sequence[Nic]) -> None:
        from kvist.resources.making.seeding import seed

        user = self.wish.user or (self.image.user if self.image else None)
        try:
            disks.seed(seed(self.wish, self.uuid, user, nics, self.problems).image())
        except Invalid as wrong:
            self.problems += [each._replace(path=_option(each.path)) for each in wrong.problems]
        except KvistError as wrong:
            self.problems.append(Problem("--ssh-key", wrong.what, wrong.hint))

    def _check_use(self, disks: Disks) -> None:
        if any(map(_has_source, self.wish.disks)):
            written = {
                str(disk.file or disk.dev) for disk in disks.devices() if not disk.readonly and not disk.shareable
            }
            for path, why in in_use(self.host, written).items():
                self.problems.append(
                    Problem("--disk", f'"{path}" {why}'.replace("“", '"').replace("”", '"'), "kvist ls, kvist image ls")
                )

    def _vm(self, disks: Disks, nics: Sequence[Nic]) -> Vm:
        wish = self.wish
        screen = wish.graphics if wish.graphics is not None else _screen(self.offer)
        vm = defaults.machine(
            self.board,
            self.offer,
            self.system,
            graphics=None if screen is None or screen.type is None else _listening(screen),
            tpm=wish.tpm,
            log=defaults.serial_log(self.host.place.uri, wish.name, self.uuid),
        )
        least = max((self.image.min_memory if self.image else None) or Size(0), _system_memory(self.system))
        vm = vm.replace(
            name=wish.name,
            uuid=self.uuid,
            **self._sized(least),
            user=wish.user or (self.image.user if self.image else None),
            os=wish.system or (self.image.os if self.image else None) or self._medium_system,
            osinfo=self.system.id if self.system else None,
            made_by="kvist",
            made_from=wish.image,
            volumes=disks.volumes() or None,
            disks=_ordered(disks.devices(), nics, cd_first=bool(wish.cdrom) and any(map(_has_source, wish.disks))),
            nics=tuple(bare(nic) for nic in nics),
        )
        if wish.pxe:
            vm = vm.replace(
                nics=tuple(
                    nic if nic.boot_order else nic.replace(boot_order=10 + index) for index, nic in enumerate(vm.nics)
                )
            )
        typed = {key: value for key, value in wish.settings.items() if key not in ("autostart", "image", "boot")}
        if wish.settings.boot:
            # libvirt takes one of the two ways to say it, never both.
            vm = vm.replace(
                disks=tuple(disk.replace(boot_order=None) for disk in vm.disks),
                nics=tuple(nic.replace(boot_order=None) for nic in vm.nics),
                boot=wish.settings.boot,
            )
        vm = vm.replace(**typed)
        if vm.secure_boot:
            vm = vm.replace(
                firmware="efi", smm=True, enrolled_keys=True if vm.enrolled_keys is None else vm.enrolled_keys
            )
        elif vm.firmware == "efi" and vm.loader is None:
            # Left to itself, libvirt takes the firmware that starts signed systems only, where a host has it.
            vm = vm.replace(secure_boot=False, enrolled_keys=vm.enrolled_keys or False)
        return Vm(**{key: value for key, value in vm.items() if value is not None})

    def _sized(self, least: Size) -> dict[str, Any]:
        """Say how much memory and how many processors it has, and how much more it can get while it runs."""
        wish, host = self.wish.settings, self.host.connection
        memory = wish.memory or wish.memory_max or least or defaults.MEMORY
        cpus = wish.cpus or wish.cpus_max or max(1, min(defaults.CPUS, host.cpus))
        most = min(memory * defaults.MORE_MEMORY, host.memory) if self._has_balloon else memory
        limit = self.offer.max_cpus if self.offer else 0
        more = min(cpus * defaults.MORE_CPUS, host.cpus, limit or host.cpus)
        sized = {"memory_max": Size(max(memory, most)), "cpus_max": max(cpus, more)}
        given = {"memory": memory, "cpus": cpus}
        return {**sized, **{key: value for key, value in given.items() if sized[f"{key}_max"] != value}}

    @property
    def _has_balloon(self) -> bool:
        """Whether its guest is known to give memory back that its balloon asks for; what is pinned cannot be."""
        wish = self.wish.settings
        known = self.image is not None and self.system is not None and self.system.supports("virtio-balloon")
        return known and not (wish.memory_locked or wish.hugepages)

    def _document(self, vm: Vm) -> str:
        document = Document.new("domain")
        vm.write(document.root)
        return document.text()


def _firmwares(image: Image) -> tuple[str, ...]:
    return tuple("efi" if each == "uefi" else each for each in image.firmware)


def _has_source(disk: Disk) -> bool:
    return bool(disk.path or disk.file or disk.dev or disk.volume)


def _system_memory(system: Os | None) -> Size:
    return (system.memory if system else None) or Size(0)


def _screen(offer: Offer | None) -> Graphics | None:
    return Graphics(type="vnc") if offer is not None and "vnc" in offer.graphics else None


def _listening(screen: Graphics) -> Graphics:
    """A screen that only this host sees, unless the line says otherwise."""
    port = {} if screen.port else {"autoport": True}
    return screen.replace(listen=screen.listen or "127.0.0.1", **port)


def _ordered(disks: Sequence[Disk], nics: Sequence[Nic], *, cd_first: bool) -> tuple[Disk, ...]:
    """Number the devices that are booted from: disks then media, so that an empty disk falls through to its medium.

    A number that is typed stays with its device, and the others get those that are left.
    """
    typed = {disk.boot_order for disk in disks} | {nic.boot_order for nic in nics}
    bootable = [disk for disk in disks if not (disk.boot_order or str(disk.file or "").endswith("-seed.iso"))]
    turn = sorted(bootable, key=lambda disk: (disk.device == "cdrom") != cd_first)
    order = dict(zip((disk.target for disk in turn), (each for each in count(1) if each not in typed), strict=False))
    return tuple(disk.replace(boot_order=order[disk.target]) if disk.target in order else disk for disk in disks)


def _shown(vm: Vm) -> tuple[tuple[str, str], ...]:
    cards = [str(nic.network or nic.bridge or nic.dev or nic.type) + f" ({nic.mac})" for nic in vm.nics]
    pairs = [
        ("memory", str(vm.memory or vm.memory_max)),
        ("cpus", str(vm.cpus or vm.cpus_max)),
        ("machine", " ".join(filter(None, (vm.arch, vm.machine, vm.virt, vm.firmware)))),
        ("os", vm.os or ""),
        *(("nic", card) for card in cards),
    ]
    return tuple(pair for pair in pairs if pair[1])


def _option(key: str) -> str:
    """Spell a key of the seed as the option that it came from; a part of something is left as it is."""
    return f"--{key.replace('_', '-')}" if key.isidentifier() else key
