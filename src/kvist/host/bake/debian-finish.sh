#!/bin/sh
# After the packages are configured: our own files, what starts at boot, and nothing that two machines must not share.
set -e
here=$(dirname "$0")
cp -r --no-preserve=ownership "$here/debian_root/." "$1/"
chroot "$1" systemctl --quiet enable systemd-networkd systemd-resolved ssh serial-getty@ttyS0
chroot "$1" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service dpkg-db-backup.timer
rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/resolv.conf"
ln -s ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"
: > "$1/etc/machine-id"
echo debian > "$1/etc/hostname"
