"""Finding an installer's kernel in directories, ISO images and on web servers, and what its kernel is told."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pycdlib
import pytest
import urllib3

from kvist.errors import Corrupt, Denied, Invalid, NotFound, Unreachable
from kvist.guest.bootline import Static, arguments
from kvist.guest.installer import Installer, extract, find
from kvist.guest.media import DirectoryTree, IsoTree, Labels, UrlTree, fetch, opened
from kvist.values import Cidr

TREEINFO = """[general]
family = CentOS
version = 7
arch = x86_64
[images-x86_64]
kernel = images/pxeboot/vmlinuz
initrd = images/pxeboot/initrd.img
"""
DEBIAN = {
    "install.amd/vmlinuz": "kernel",
    "install.amd/initrd.gz": "initrd",
    "install.386/vmlinuz": "kernel 386",
    "install.386/initrd.gz": "initrd 386",
    ".disk/info": 'Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST with firmware',
}


def planted(root: Path, files: dict[str, str]) -> DirectoryTree:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return DirectoryTree(root)


def pressed(path: Path, files: dict[str, str], naming: str, volume: str = "CDROM") -> Path:
    iso = pycdlib.PyCdlib()
    iso.new(
        interchange_level=3,
        vol_ident=volume,
        joliet=3 if naming == "joliet" else None,
        rock_ridge="1.09" if naming == "rr" else None,
    )
    folders: set[str] = set()
    for name, content in files.items():
        *parents, _ = name.split("/")
        for depth in range(1, len(parents) + 1):
            folder = "/" + "/".join(parents[:depth])
            if folder not in folders:
                folders.add(folder)
                iso.add_directory(plain(f"{folder}/").rstrip("/"), **named(naming, folder))
        iso.add_fp(io.BytesIO(content.encode()), len(content), plain("/" + name) + ";1", **named(naming, "/" + name))
    iso.write(str(path))
    iso.close()
    return path


def plain(path: str) -> str:
    *folders, name = path.upper().replace("-", "_").split("/")
    return "/".join((*(folder.replace(".", "_") for folder in folders), name))


def named(naming: str, path: str) -> dict[str, Any]:
    if naming == "rr":
        return {"rr_name": path.rsplit("/", 1)[1]}
    return {"joliet_path": path} if naming == "joliet" else {}


def test_a_red_hat_tree_is_read_from_its_treeinfo(tmp_path: Path) -> None:
    found = find(planted(tmp_path, {".treeinfo": TREEINFO}))
    assert (found.family, found.kernel, found.initrd) == (
        "anaconda",
        "images/pxeboot/vmlinuz",
        "images/pxeboot/initrd.img",
    )
    assert (found.os, found.arch) == ("centos7", "x86_64")


@pytest.mark.parametrize(
    ("family", "version", "os"),
    [
        ("Red Hat Enterprise Linux", "7.9", "rhel7.9"),
        ("CentOS Stream", "9", "centos-stream9"),
        ("CentOS", "8-stream", "centos-stream8"),
        ("Rocky Linux", "9.3", "rocky9"),
        ("AlmaLinux", "9.3", "almalinux9"),
        ("Fedora", "39", "fedora39"),
        ("openSUSE Leap", "15.5", "opensuse15.5"),
        ("Somebody's Linux", "1", None),
    ],
)
def test_the_distribution_of_a_treeinfo_gets_the_name_of_the_osinfo_database(
    tmp_path: Path, family: str, version: str, os: str | None
) -> None:
    info = TREEINFO.replace("CentOS", family).replace("version = 7", f"version = {version}")
    assert find(planted(tmp_path, {"treeinfo": info})).os == os


def test_a_page_in_place_of_a_treeinfo_is_no_treeinfo(tmp_path: Path) -> None:
    assert find(planted(tmp_path, {".treeinfo": "<html>not found</html>", **DEBIAN})).family == "debian"


@pytest.mark.parametrize(
    ("files", "family", "arch", "os", "medium"),
    [
        (DEBIAN, "debian", "x86_64", "debian12", True),
        (
            {
                "debian-installer/amd64/linux": "",
                "debian-installer/amd64/initrd.gz": "",
                "version.info": "Debian version:  12 (bookworm)\n",
            },
            "debian",
            "x86_64",
            "debian12",
            False,
        ),
        (
            {
                "main/installer-arm64/current/images/netboot/debian-installer/arm64/linux": "",
                "main/installer-arm64/current/images/netboot/debian-installer/arm64/initrd.gz": "",
            },
            "debian",
            "aarch64",
            None,
            False,
        ),
        (
            {
                "casper/vmlinuz": "",
                "casper/initrd": "",
                ".disk/info": 'Ubuntu-Server 22.04.4 LTS "Jammy" - Release arm64 (20240216)',
            },
            "casper",
            "aarch64",
            "ubuntu22.04",
            True,
        ),
        ({"boot/x86_64/loader/linux": "", "boot/x86_64/loader/initrd": ""}, "suse", "x86_64", None, False),
        (
            {"boot/vmlinuz-virt": "", "boot/initramfs-virt": "", ".alpine-release": "alpine-virt-3.19.1 240126"},
            "alpine",
            "x86_64",
            "alpinelinux3.19",
            True,
        ),
        (
            {"arch/boot/x86_64/vmlinuz-linux": "", "arch/boot/x86_64/initramfs-linux.img": ""},
            "arch",
            "x86_64",
            "archlinux",
            True,
        ),
        ({"isolinux/vmlinuz": "", "isolinux/initrd.img": ""}, "anaconda", "x86_64", None, True),
    ],
)
def test_every_family_is_known_by_where_its_files_lie(
    tmp_path: Path, files: dict[str, str], family: str, arch: str, os: str | None, medium: bool
) -> None:
    found = find(planted(tmp_path, files))
    assert (found.family, found.arch, found.os, found.medium) == (family, arch, os, medium)


def test_of_a_medium_for_several_architectures_the_wanted_one_is_taken(tmp_path: Path) -> None:
    assert find(planted(tmp_path, DEBIAN), "i686").kernel == "install.386/vmlinuz"
    assert find(planted(tmp_path, DEBIAN)).kernel == "install.amd/vmlinuz"


def test_a_tree_without_an_installer_says_what_else_can_be_done(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no installer") as missing:
        find(planted(tmp_path, {"README": "hello", "casper/vmlinuz": "kernel alone"}))
    assert "--cdrom" in missing.value.hint


@pytest.mark.parametrize("naming", ["rr", "joliet"])
def test_an_iso_image_is_read_by_its_long_names(tmp_path: Path, naming: str) -> None:
    with opened(str(pressed(tmp_path / "d.iso", DEBIAN, naming, "Debian 12.5.0 n"))) as tree:
        found = find(tree)
        kernel, initrd = extract(tree, found, tmp_path / "out")
    assert (found.kernel, found.os) == ("install.amd/vmlinuz", "debian12")
    assert found.labels.volume == "Debian 12.5.0 n"
    assert (kernel.read_text(), initrd.read_text()) == ("kernel", "initrd")
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["initrd", "kernel"]


def test_an_iso_image_without_long_names_is_read_by_its_capitals(tmp_path: Path) -> None:
    files = {"isolinux/vmlinuz": "kernel", "isolinux/initrd.img": "initrd"}
    with opened(str(pressed(tmp_path / "c.iso", files, "plain", "CentOS 7 x86_64"))) as tree:
        found = find(tree)
        assert tree.text("ISOLINUX/vmlinuz") == "kernel"
        assert not tree.has("isolinux")
    assert (found.family, found.os) == ("anaconda", "centos7")


def test_what_is_no_iso_image_is_corrupt_and_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "x.iso").write_bytes(b"no image" * 10_000)
    with pytest.raises(Corrupt, match="not an ISO image"):
        IsoTree(tmp_path / "x.iso")
    with pytest.raises(NotFound, match="no installation medium"), opened(str(tmp_path / "y.iso")):
        pass


class Server(urllib3.PoolManager):
    """A web server that lives in this process."""

    def __init__(self, files: dict[str, bytes], *, status: int = 404, head: bool = True) -> None:
        super().__init__()
        self.files, self.missing, self.head = files, status, head

    def request(self, method: str, url: str, *_: Any, **__: Any) -> urllib3.BaseHTTPResponse:
        if method == "HEAD" and not self.head:
            return urllib3.HTTPResponse(io.BytesIO(), status=405, preload_content=False)
        content = self.files.get(url.removeprefix("http://mirror/debian/"))
        if content is None:
            return urllib3.HTTPResponse(io.BytesIO(b"no"), status=self.missing, preload_content=False)
        body = b"" if method == "HEAD" else content
        return urllib3.HTTPResponse(io.BytesIO(body), status=200, preload_content=False)


@pytest.mark.parametrize("head", [True, False])
def test_a_tree_on_a_web_server_is_read_also_when_it_knows_no_head(tmp_path: Path, head: bool) -> None:
    tree = UrlTree("http://mirror/debian/", Server({name: text.encode() for name, text in DEBIAN.items()}, head=head))
    found = find(tree)
    kernel, _ = extract(tree, found, tmp_path)
    assert (found.os, kernel.read_text()) == ("debian12", "kernel")
    with pytest.raises(NotFound, match="HTTP 404"):
        fetch(tree, "nothing", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_server_that_forbids_or_is_broken_is_told_apart_from_one_without_the_file() -> None:
    with pytest.raises(Denied):
        find(UrlTree("http://mirror/debian", Server({}, status=403)))
    with pytest.raises(Unreachable):
        find(UrlTree("http://mirror/debian", Server({}, status=503)))


def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    class Broken(Server):
        def request(self, method: str, url: str, *_: Any, **__: Any) -> urllib3.BaseHTTPResponse:
            return urllib3.HTTPResponse(
                io.BytesIO(b"half"),
                headers={"Content-Length": "8"},
                status=200,
                preload_content=False,
                request_method="GET",
            )

    with pytest.raises(Unreachable, match="broke off"):
        fetch(UrlTree("http://mirror/debian", Broken({})), "linux", tmp_path / "kernel")
    assert list(tmp_path.iterdir()) == []


RHEL7 = Installer("anaconda", "k", "i", "x86_64", "rhel", "7.9", Labels("RHEL-7.9 Server.x86_64"), True)
ADDRESS = Static(Cidr("192.168.1.2", 24), "192.168.1.1", ["9.9.9.9", "1.1.1.1"])


def test_anaconda_speaks_on_the_serial_line_in_text_and_finds_its_medium_by_label() -> None:
    assert arguments(RHEL7) == ["console=ttyS0", "inst.text", r"inst.stage2=hd:LABEL=RHEL-7.9\x20Server.x86_64"]
    assert arguments(RHEL7, url="http://m/7")[2] == "inst.repo=http://m/7"


def test_an_anaconda_before_seven_knows_no_prefix_but_fedora_always_does() -> None:
    assert arguments(RHEL7._replace(version="6.10"), url="http://m/6") == ["console=ttyS0", "text", "repo=http://m/6"]
    assert "inst.text" in arguments(RHEL7._replace(distribution="fedora", version="39"))


def test_other_architectures_have_other_serial_lines_and_a_screen_comes_first() -> None:
    assert arguments(RHEL7._replace(arch="aarch64"))[0] == "console=ttyAMA0"
    assert arguments(RHEL7, graphics=True)[:2] == ["console=tty0", "console=ttyS0"]


def test_debian_hands_the_console_on_to_the_installed_system_and_the_users_words_come_before() -> None:
    debian = Installer("debian", "k", "i", "x86_64", "debian", "12")
    assert arguments(debian, extra=["priority=low"]) == [
        "console=ttyS0",
        "fb=false",
        "priority=low",
        "---",
        "console=ttyS0",
    ]
    assert arguments(debian, extra=["a", "---", "quiet"])[2:] == ["a", "---", "console=ttyS0", "quiet"]


def test_each_family_gets_its_static_address_in_its_own_words() -> None:
    dracut = arguments(RHEL7, static=ADDRESS, hostname="web")
    assert dracut[3:] == [
        "ip=192.168.1.2::192.168.1.1:255.255.255.0:web::none",
        "nameserver=9.9.9.9",
        "nameserver=1.1.1.1",
    ]
    debian = arguments(Installer("debian", "k", "i", "x86_64"), static=ADDRESS, hostname="web")
    assert {
        "hostname=web",
        "netcfg/disable_autoconfig=true",
        "netcfg/get_ipaddress=192.168.1.2",
        "netcfg/get_netmask=255.255.255.0",
        "netcfg/get_gateway=192.168.1.1",
        "netcfg/get_nameservers=9.9.9.9",
        "netcfg/confirm_static=true",
    } <= set(debian)
    alpine = arguments(Installer("alpine", "k", "i", "x86_64"), static=ADDRESS)
    assert "ip=192.168.1.2::192.168.1.1:255.255.255.0:::none:9.9.9.9:1.1.1.1" in alpine
    suse = arguments(Installer("suse", "k", "i", "x86_64"), static=ADDRESS, url="http://m/s")
    assert suse == [
        "console=ttyS0",
        "textmode=1",
        "install=http://m/s",
        '"ifcfg=*=192.168.1.2/24,192.168.1.1,9.9.9.9 1.1.1.1"',
    ]


def test_an_ipv6_address_is_written_in_brackets_where_colons_part_and_refused_where_nobody_reads_it() -> None:
    six = Static(Cidr("fd00::2", 64), "fd00::1")
    assert "ip=[fd00::2]::[fd00::1]:64:::none" in arguments(RHEL7, static=six)
    assert "netcfg/get_ipaddress=fd00::2/64" in arguments(Installer("debian", "k", "i", "x86_64"), static=six)
    with pytest.raises(Invalid, match="IPv6"):
        arguments(Installer("casper", "k", "i", "x86_64"), static=six)


def test_arch_and_alpine_are_told_where_the_rest_of_them_is() -> None:
    arch = Installer("arch", "k", "i", "x86_64", labels=Labels("ARCH_202401"))
    assert arguments(arch) == ["console=ttyS0", "archisobasedir=arch", "archisolabel=ARCH_202401"]
    alpine = Installer("alpine", "k", "i", "x86_64")
    assert "alpine_repo=http://m/alpine" in arguments(alpine, url="http://m/alpine")
