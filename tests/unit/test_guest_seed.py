"""The cloud-init seed: its files, its network, its merging, its image, and what it refuses."""

from __future__ import annotations

import io
import json
from email import message_from_bytes
from typing import Any

import pycdlib
import pytest

from kvist.errors import Corrupt, Invalid
from kvist.guest import iso
from kvist.guest.password import hashed
from kvist.guest.seed import MERGE, Card, Seed, known_hash, network
from kvist.values import Cidr, Mac

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBfYNoQ2n6xXq me@desk"
HASH = "$6$abcdefgh$" + "x" * 86
SEED = Seed("web", "0b7e", user="anna", ssh_keys=[KEY])


def config(seed: Seed) -> dict[str, Any]:
    head, _, body = seed.files()["user-data"].partition(b"\n")
    assert head == b"#cloud-config"
    parsed = json.loads(body)
    assert isinstance(parsed, dict)
    return parsed


def paths(wrong: pytest.ExceptionInfo[Invalid]) -> list[str]:
    return [problem.path for problem in wrong.value.problems]


def test_the_image_is_labelled_cidata_and_its_long_names_are_read_by_another_implementation() -> None:
    disk = pycdlib.PyCdlib()
    disk.open_fp(io.BytesIO(SEED._replace(cards=[Card(Mac("52:54:00:00:00:01"))]).image()))
    names = [child.file_identifier().decode("utf-16-be") for child in disk.list_children(joliet_path="/")]
    assert names[2:] == ["meta-data", "network-config", "user-data"]
    assert disk.pvd.volume_identifier.rstrip() == b"cidata"
    read = io.BytesIO()
    disk.get_file_from_iso_fp(read, joliet_path="/meta-data")
    assert json.loads(read.getvalue()) == {"instance-id": "0b7e", "local-hostname": "web"}
    plain = [child.file_identifier() for child in disk.list_children(iso_path="/")]
    assert plain[2:] == [b"META-DATA.;1", b"NETWORK-CONFIG.;1", b"USER-DATA.;1"]


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others() -> None:
    with_own = SEED._replace(user_data="#!/bin/sh\necho hi\n")
    assert SEED.image() == SEED._replace().image()
    assert with_own.image() == with_own._replace().image()
    assert SEED.image() != SEED._replace(hostname="web2").image()


def test_an_image_unpacks_to_what_was_packed_also_when_a_file_is_empty_or_fills_sectors_exactly() -> None:
    files = {"a": b"", "meta-data": b"x" * 2048, "longer name.txt": b"y" * 5000}
    assert iso.unpack(iso.pack("cidata", files)) == files


def test_what_is_not_an_image_is_corrupt() -> None:
    with pytest.raises(Corrupt):
        iso.unpack(b"no image at all")


def test_too_many_files_for_a_directory_sector_are_refused() -> None:
    with pytest.raises(Invalid, match="too many files"):
        iso.pack("x", {f"a-file-with-a-long-name-{number}": b"" for number in range(60)})


def test_a_user_may_become_root_and_logs_in_with_the_key_alone() -> None:
    (user,) = config(SEED)["users"]
    assert user["ssh_authorized_keys"] == [KEY]
    assert user["sudo"] == "ALL=(ALL) NOPASSWD:ALL"
    assert user["lock_passwd"] is True
    assert "ssh_pwauth" not in config(SEED)


def test_a_password_opens_the_account_and_only_its_hash_is_in_the_seed() -> None:
    told = config(SEED._replace(password_hash=HASH))
    assert told["users"][0]["hashed_passwd"] == HASH
    assert told["users"][0]["lock_passwd"] is False
    assert told["ssh_pwauth"] is True


def test_root_gets_its_password_by_chpasswd_because_the_account_exists() -> None:
    told = config(SEED._replace(user="root", password_hash=HASH))
    assert told["disable_root"] is False
    assert told["chpasswd"] == {"expire": False, "users": [{"name": "root", "password": HASH, "type": "hash"}]}


def test_keys_without_a_user_go_to_the_default_user_of_the_image() -> None:
    told = config(SEED._replace(user=None))
    assert told["ssh_authorized_keys"] == [KEY]
    assert "users" not in told


def test_packages_commands_locale_and_time_zone_are_passed_on() -> None:
    told = config(SEED._replace(packages=["nginx"], run=["echo hi"], locale="de_DE.UTF-8", timezone="Europe/Berlin"))
    assert told["packages"] == ["nginx"]
    assert told["package_update"] is True
    assert told["runcmd"] == ["echo hi"]
    assert (told["locale"], told["timezone"]) == ("de_DE.UTF-8", "Europe/Berlin")


def test_an_earlier_hash_is_found_again_also_beside_user_data() -> None:
    assert known_hash(SEED._replace(password_hash=HASH).image()) == HASH
    assert known_hash(SEED._replace(password_hash=HASH, user_data="#cloud-config\nusers: []\n").image()) == HASH
    assert known_hash(SEED.image()) is None


def test_a_users_cloud_config_comes_first_and_ours_is_merged_under_it() -> None:
    theirs = "#cloud-config\nhostname: grüße\nruncmd: [ls]\n"
    archive = message_from_bytes(SEED._replace(user_data=theirs).files()["user-data"])
    first, second = [part for part in archive.walk() if not part.is_multipart()]
    assert archive.get_content_type() == "multipart/mixed"
    assert first.get_content_type() == "text/cloud-config"
    assert first.get_payload(decode=True) == theirs.encode()
    assert first["Merge-Type"] is None
    assert second["Merge-Type"] == MERGE
    ours = second.get_payload(decode=True)
    assert isinstance(ours, bytes)
    assert ours.startswith(b"#cloud-config\n{")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("#!/bin/sh\ntrue\n", "text/x-shellscript"),
        ("#cloud-boothook\ntrue\n", "text/cloud-boothook"),
        ("#include\nhttp://example.com/x\n", "text/x-include-url"),
        ("#include-once\nhttp://example.com/x\n", "text/x-include-once-url"),
        ("#cloud-config-archive\n- x\n", "text/cloud-config-archive"),
        ("## template: jinja\n#cloud-config\n{}\n", "text/jinja2"),
    ],
)
def test_user_data_of_every_kind_is_declared_as_what_it_is(text: str, kind: str) -> None:
    archive = message_from_bytes(SEED._replace(user_data=text).files()["user-data"])
    assert next(part for part in archive.walk() if not part.is_multipart()).get_content_type() == kind


def test_the_parts_of_a_users_own_archive_are_taken_one_by_one() -> None:
    theirs = SEED._replace(user_data="#!/bin/sh\ntrue\n").files()["user-data"].decode()
    archive = message_from_bytes(SEED._replace(user_data=theirs).files()["user-data"])
    leaves = [part.get_content_type() for part in archive.walk() if not part.is_multipart()]
    assert leaves == ["text/x-shellscript", "text/cloud-config", "text/cloud-config"]


def test_cards_without_an_address_use_dhcp_and_only_the_first_holds_up_the_boot() -> None:
    told = network([Card(Mac("52:54:00:00:00:01")), Card(Mac("52:54:00:00:00:02"), mtu=1400)])
    assert told == {
        "version": 2,
        "ethernets": {
            "eth0": {"match": {"macaddress": "52:54:00:00:00:01"}, "set-name": "eth0", "dhcp4": True},
            "eth1": {
                "match": {"macaddress": "52:54:00:00:00:02"},
                "set-name": "eth1",
                "dhcp4": True,
                "mtu": 1400,
                "optional": True,
            },
        },
    }


def test_a_static_address_comes_with_its_routes_and_name_servers() -> None:
    card = Card(
        Mac("52:54:00:00:00:01"),
        [Cidr("192.168.1.2", 24), Cidr("fd00::2", 64)],
        ["192.168.1.1", "fe80::1"],
        ["9.9.9.9"],
        ["example.com"],
    )
    told: Any = json.loads(SEED._replace(cards=[card]).files()["network-config"])["ethernets"]["eth0"]
    assert told["dhcp4"] is False
    assert told["addresses"] == ["192.168.1.2/24", "fd00::2/64"]
    assert told["routes"] == [{"to": "0.0.0.0/0", "via": "192.168.1.1"}, {"to": "::/0", "via": "fe80::1"}]
    assert told["nameservers"] == {"addresses": ["9.9.9.9"], "search": ["example.com"]}


def test_the_gateway_of_a_single_address_is_reached_on_the_link() -> None:
    card = Card(Mac("52:54:00:00:00:01"), [Cidr("203.0.113.7", 32)], ["198.51.100.1"])
    told: Any = json.loads(SEED._replace(cards=[card]).files()["network-config"])["ethernets"]["eth0"]
    assert told["routes"] == [{"to": "0.0.0.0/0", "via": "198.51.100.1", "on-link": True}]


def test_a_users_network_configuration_replaces_that_of_the_cards() -> None:
    own = "version: 1\nconfig: []\n"
    files = SEED._replace(cards=[Card(Mac("52:54:00:00:00:01"))], network_config=own).files()
    assert files["network-config"] == own.encode()


def test_all_problems_of_a_seed_are_told_at_once() -> None:
    with pytest.raises(Invalid) as wrong:
        SEED._replace(
            hostname="-web",
            instance_id="",
            user="Anna Lena",
            ssh_keys=["-----BEGIN OPENSSH PRIVATE KEY-----", "hello"],
            password_hash="secret",
            user_data="hello: world\n",
            network_config="ethernets: {}\n",
        ).files()
    assert paths(wrong) == [
        "hostname",
        "instance_id",
        "user",
        "password",
        "ssh_keys[0]",
        "ssh_keys[1]",
        "user_data",
        "network_config",
    ]


def test_a_long_bad_host_name_is_refused_at_once() -> None:
    with pytest.raises(Invalid, match="host name"):
        SEED._replace(hostname="a" * 200 + "!").files()


def test_a_password_without_a_user_is_refused() -> None:
    with pytest.raises(Invalid, match="needs the user"):
        SEED._replace(user=None, password_hash=HASH).files()


@pytest.mark.parametrize(
    ("card", "path"),
    [
        (Card(Mac("52:54:00:00:00:01"), gateways=["10.0.0.1"]), "cards[0].gateway"),
        (Card(Mac("52:54:00:00:00:01"), [Cidr("10.0.0.2", 24)], ["10.0.1.1"]), "cards[0].gateway"),
        (Card(Mac("52:54:00:00:00:01"), dns=["nine"]), "cards[0].dns"),
    ],
)
def test_a_network_that_cannot_work_is_refused(card: Card, path: str) -> None:
    with pytest.raises(Invalid) as wrong:
        SEED._replace(cards=[card]).files()
    assert paths(wrong) == [path]


def test_a_password_that_is_hashed_already_stays_as_it_is() -> None:
    assert hashed(HASH) == HASH


@pytest.mark.parametrize("password", ["", "two\nlines", "x" * 256])
def test_a_password_that_openssl_would_cut_is_refused(password: str) -> None:
    with pytest.raises(Invalid, match="password"):
        hashed(password)
