"""What SELinux and AppArmor keep guests from is found in the host's own log, and that one file is let through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kvist.host.checks.confinement import HEADER, LOCAL, Confinement, Denial, confined, denied, look
from kvist.host.checks.finding import Anew, Finding, Typed, Written
from kvist.host.checks.seen import Seen
from kvist.host.hand import Hand
from kvist.host.run import Result

PROFILE = "libvirt-5f8c1a52-0d3e-4b8e-9c39-3c6c1e2f7a11"
ARMOR = (
    '[ 84.1] audit: type=1400 audit({at}.123:45): apparmor="DENIED" operation="open" class="file" '
    f'profile="{PROFILE}" name={{name}} pid=812 comm="qemu-system-x86" requested_mask="{{mask}}" '
    'denied_mask="{mask}" fsuid=64055 ouid=0\n'
)
LABEL = (
    'type=AVC msg=audit({at}.456:77): avc:  denied  {{ read write }} for  pid=99 comm="qemu-kvm" path={name} '
    'dev="dm-0" ino=12 scontext=system_u:system_r:svirt_t:s0:c1,c2 tcontext=unconfined_u:object_r:{type}:s0 '
    "tclass=file permissive={permissive}\n"
)
WEB, BACKUP = "/srv/vm/web.qcow2", "/mnt/nfs/db.raw"


def armor(name: str, mask: str = "r", at: int = 2000) -> str:
    return ARMOR.format(name=name, mask=mask, at=at)


def label(name: str, kind: str = "default_t", at: int = 2000, permissive: int = 0) -> str:
    return LABEL.format(name=name, type=kind, at=at, permissive=permissive)


def of(seen: Confinement) -> Finding:
    return confined(Seen(confinement=seen))


def test_denials_of_guests_since_boot_are_read_from_either_log() -> None:
    odd = b"/srv/a b.raw".hex().upper()
    log = (
        armor(f'"{WEB}"', "wr") + armor(odd) + label(f'"{WEB}"') + label(f'"{BACKUP}"', "nfs_t")
        + armor('"/srv/old.raw"', at=999)
        + armor('"/proc/sys/vm/overcommit_memory"')
        + armor(f'"{WEB}"').replace(PROFILE, "/usr/sbin/cupsd")
        + label('"/srv/told-only.raw"', permissive=1)
        + label('"/srv/web.raw"').replace("svirt_t", "httpd_t")
        + "audit(2000.1:1): nothing of it\n"
    )  # fmt: skip
    assert list(denied(log, since=1000)) == [
        Denial(WEB, "AppArmor", "w", PROFILE),
        Denial("/srv/a b.raw", "AppArmor", "r", PROFILE),
        Denial(WEB, "SELinux", "default_t"),
        Denial(BACKUP, "SELinux", "nfs_t"),
    ]


def test_where_nothing_confines_guests_or_nothing_was_denied_all_is_well() -> None:
    assert "neither SELinux nor AppArmor" in of(Confinement()).proof
    found = of(Confinement(selinux=True, apparmor=True))
    assert (found.ok, found.proof) == (True, "SELinux and AppArmor: guests are kept from no file of theirs")


def test_apparmor_is_told_of_the_file_and_reads_the_profile_of_the_guest_anew() -> None:
    denials = (Denial(WEB, "AppArmor", "w", PROFILE), Denial("/srv/{a}.iso", "AppArmor", "r", PROFILE))
    named = frozenset(each.path for each in denials)
    seen = Confinement(apparmor=True, denials=denials, named=named, profiles=(PROFILE, "TEMPLATE.qemu"))
    found = of(seen)
    written, load = found.fix.acts
    assert found.ok is False and found.fix.words == ""
    assert isinstance(written, Written) and (written.path, written.before) == (LOCAL, None)
    assert written.after == f'{HEADER}"{WEB}" rwk,\n"/srv/\\{{a\\}}.iso" rk,\n'
    assert load == Anew(PROFILE, argv=("apparmor_parser", "-r", f"/etc/apparmor.d/libvirt/{PROFILE}"))
    assert of(seen._replace(local=written.after)).ok is True, "what was denied then is let through now"
    more = of(seen._replace(local="/srv/own/** r,\n", profiles=())).fix.acts
    (only,) = more
    assert isinstance(only, Written) and only.after.startswith("/srv/own/** r,\n")


def test_a_file_gets_the_type_of_images_for_good_where_that_can_be() -> None:
    seen = Confinement(
        selinux=True, denials=(Denial(WEB, "SELinux", "default_t"),), types={WEB: "default_t"}, named=frozenset({WEB})
    )
    assert of(seen).fix.acts == (Typed(("chcon", "-t", "virt_image_t", WEB), ("chcon", "-t", "default_t", WEB)),)
    kept, label = of(seen._replace(semanage=True)).fix.acts
    pattern = r"/srv/vm/web\.qcow2"
    assert isinstance(kept, Typed) and kept.argv == ("semanage", "fcontext", "-a", "-t", "virt_image_t", pattern)
    assert kept.back == ("semanage", "fcontext", "-d", pattern)
    assert label == Anew(WEB, argv=("restorecon", WEB)), "the label follows, and follows back"
    assert of(seen._replace(types={WEB: "svirt_image_t"})).ok is True
    assert of(seen._replace(types={})).ok is True, "the file has gone"


def test_files_of_other_machines_are_a_switch_of_selinuxs() -> None:
    seen = Confinement(
        selinux=True, denials=(Denial(BACKUP, "SELinux", "nfs_t"),), types={BACKUP: "nfs_t"}, named=frozenset({BACKUP})
    )
    switch = ("setsebool", "-P", "virt_use_nfs")
    assert of(seen).fix.acts == (Typed((*switch, "on"), (*switch, "off")),)
    assert of(seen._replace(allowed=("virt_use_nfs",))).ok is True


def test_a_file_that_no_vm_names_is_never_let_through() -> None:
    key = Denial("/home/ann/.ssh/id_ed25519", "AppArmor", "r", PROFILE)
    found = of(Confinement(apparmor=True, denials=(key,), profiles=(PROFILE,)))
    assert (found.ok, found.fix.acts) == (False, ())
    assert found.fix.words == f"find out what a guest wants of {key.path}, which no VM names"


class Confined(Hand):
    """A host that is made up: SELinux and AppArmor say what a test wants."""

    def __init__(self, root: Path, log: str) -> None:
        super().__init__(root=str(root))
        self.log = log

    def has(self, program: str) -> bool:
        return program == "semanage"

    def run(
        self, argv: Sequence[str], *, input: bytes | None = None, timeout: float = 60, check: bool = True
    ) -> Result:
        xml = f"<source file='{WEB}'/>\n<source file='{BACKUP}.old'/>\n<source file='/srv/a &amp; b'/>\n"
        said = {
            "dmesg": self.log,
            "stat": f"unconfined_u:object_r:default_t:s0 {WEB}\n",
            "getsebool": "virt_use_nfs --> on\nvirt_use_samba --> off\n",
            "grep": xml if "-rhF" in argv else None,
        }.get(argv[0])
        return Result(tuple(argv), int(said is None), (said or "").encode(), b"")

    def read(self, path: str) -> str | None:
        kernels = {
            "/sys/fs/selinux/enforce": "1",
            "/sys/module/apparmor/parameters/enabled": "Y\n",
            "/proc/stat": "cpu 1 2\nbtime 1000\n",
        }
        return kernels.get(path) if path.startswith(("/sys", "/proc")) else super().read(path)


def test_all_of_it_is_seen_through_the_hand_of_the_host(tmp_path: Path) -> None:
    (tmp_path / "etc/apparmor.d/libvirt").mkdir(parents=True)
    (tmp_path / "etc/apparmor.d/libvirt" / PROFILE).touch()
    hand = Confined(tmp_path, armor('"/srv/a & b"') + label(f'"{WEB}"') + label(f'"{WEB}"') + label(f'"{BACKUP}"'))
    assert look(hand) == Confinement(
        selinux=True,
        apparmor=True,
        denials=(
            Denial("/srv/a & b", "AppArmor", "r", PROFILE),
            Denial(WEB, "SELinux", "default_t"),
            Denial(BACKUP, "SELinux", "default_t"),
        ),
        types={WEB: "default_t"},
        allowed=("virt_use_nfs",),
        semanage=True,
        profiles=(PROFILE,),
        named=frozenset({"/srv/a & b", WEB}),
    )
