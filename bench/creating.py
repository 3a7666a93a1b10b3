"""The race of `create` from an image that is there: in a sandbox of its own, which ends with the benchmark."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from bench.programs import BARE, KVIST, PYTHON
from bench.race import Line, Rival, race
from bench.report import Row, compare

from kvist.errors import Failed
from kvist.resources.hosts.host import Host, connect
from kvist.resources.images.image import Image
from kvist.resources.making.create import create
from kvist.resources.steps.definition import Define
from kvist.resources.steps.storage import FillVolume, MakeVolume
from kvist.sandbox import sandbox as sandboxes
from kvist.specs.vm import Vm
from kvist.specs.volume import Volume
from kvist.values import Size
from kvist.xml.document import Document

MODEL = "bench-model"
BARE_CALLS = "bare libvirt calls"
VIRT_INSTALL = "virt-install --import"


def rows(*, quick: bool, environment: Mapping[str, str], scratch: Path) -> Sequence[Row]:
    """Race it, defined only and started too, and give the rows of the table."""
    name = f"bench-{os.getpid()}"
    up = sandboxes.up(name, tether=True)
    try:
        host = connect(f"sandbox:{name}")
        host.images.build("micro")
        track = _Track(host, up.uri, scratch)
        defining = race(track.defining, 3 if quick else 11, within=20, environment=environment)
        starting = race(track.starting, 2 if quick else 7, within=60, environment=environment)
    finally:
        sandboxes.down(name)
    defined, started = "kvist create --image, not started", "kvist create --image"
    return (
        compare(defined, "wall", defining, BARE_CALLS),
        compare(defined, "CPU", defining, BARE_CALLS),
        compare(defined, "CPU", defining, 0.150, aim=1),
        compare(started, "wall", starting, BARE_CALLS, aim=1.2),
        compare(started, "CPU", starting, BARE_CALLS),
        compare(started, "wall", starting, VIRT_INSTALL),
        compare(started, "CPU", starting, VIRT_INSTALL, aim=0.5),
    )


class _Track:
    """What the rivals make their VMs of, and how these are removed."""

    def __init__(self, host: Host, uri: str, scratch: Path) -> None:
        self.host, self.uri = host, uri
        self.image = host.images.find("micro")
        self.model = scratch / "model"
        self.model.mkdir()
        self._write_model()
        # virt-install gets a seed that is there, which is less work than the others have.
        create.__get__(host.vms, type(host.vms))("bench-seed", image="micro", start=False)

    def _write_model(self) -> None:
        """Write down what kvist would do, so that the bare calls make the very same VM."""
        plan = create.__get__(self.host.vms, type(self.host.vms)).plan(MODEL, image="micro")
        for step in plan.steps:
            if isinstance(step, MakeVolume):
                overlay = Volume(
                    name=step.name, capacity=Size(step.capacity), allocation=Size(0), format=step.format,
                    backing=step.backing, backing_format=step.backing_format,
                )  # fmt: skip
                self._write("overlay", "volume", overlay)
            elif isinstance(step, FillVolume):
                self._write("seed", "volume", Volume(name=step.name, capacity=Size(len(step.content)), format="raw"))
                (self.model / "seed.iso").write_bytes(step.content)
            elif isinstance(step, Define):
                document = Document.parse(step.xml)
                self.vm = Vm.read(document.root)
                Vm(uuid="UUID", nics=tuple(nic.replace(mac=None) for nic in self.vm.nics)).write(document.root)
                (self.model / "vm.xml").write_text(document.text())
        if sorted(path.name for path in self.model.iterdir()) != ["overlay.xml", "seed.iso", "seed.xml", "vm.xml"]:
            raise Failed("kvist no longer makes a VM of an overlay, a seed and a definition: bench/creating.py is old")

    def _write(self, name: str, root: str, volume: Volume) -> None:
        document = Document.new(root)
        volume.write(document.root)
        (self.model / f"{name}.xml").write_text(document.text())

    @property
    def defining(self) -> Sequence[Rival]:
        """Who defines only. virt-install cannot: it always starts."""
        return (
            self._rival("kvist", "k", lambda name: self._kvist(name, "--no-start")),
            self._rival(BARE_CALLS, "b", self._bare),
        )

    @property
    def starting(self) -> Sequence[Rival]:
        return (
            self._rival("kvist", "k", self._kvist),
            self._rival(BARE_CALLS, "b", lambda name: (*self._bare(name), "start")),
            self._rival(VIRT_INSTALL, "v", self._virt_install),
        )

    def _rival(self, name: str, letter: str, argv: Callable[[str], Sequence[str]]) -> Rival:
        def lines(run: int) -> Iterable[Line]:
            yield Line(argv(f"bench-{letter}{run}"))

        def after(run: int) -> None:
            vm = self.host.vm(f"bench-{letter}{run}")
            vm.delete(force=True, disk=("vda",), purge=True)

        return Rival(name, lines, after)

    def _kvist(self, name: str, *more: str) -> Sequence[str]:
        return (KVIST, "--host", self.host.place.name, "create", name, "--image", "micro", *more)

    def _bare(self, name: str) -> Sequence[str]:
        return (PYTHON, str(BARE / "create_vm.py"), self.uri, name, str(self.model))

    def _virt_install(self, name: str) -> Sequence[str]:
        return _virt_install(self.uri, name, self.vm, self.image)


def _virt_install(uri: str, name: str, vm: Vm, image: Image) -> Sequence[str]:
    """Spell a VM with the devices of the model."""
    memory = (vm.memory_max or 0) >> 20
    size = image.size / (1 << 30)
    return (
        *("virt-install", "--connect", uri, "--name", name, "--import", "--noautoconsole", "--check", "all=off"),
        *("--osinfo", str(vm.os), "--virt-type", str(vm.virt), "--machine", str(vm.machine)),
        *("--memory", str(memory), "--vcpus", str(vm.cpus_max)),
        "--disk",
        f"pool=default,size={size},format=qcow2,bus=virtio,backing_store={image.path},backing_format=qcow2,sparse=yes",
        *("--disk", "vol=default/bench-seed-seed.iso,device=cdrom,bus=scsi,readonly=on"),
        *("--controller", "scsi,model=virtio-scsi", "--network", "network=default,model=virtio"),
        *("--graphics", "vnc,listen=127.0.0.1", "--video", "vga", "--rng", "/dev/urandom", "--serial", "pty"),
        *("--channel", "unix,target.type=virtio,target.name=org.qemu.guest_agent.0"),
    )
