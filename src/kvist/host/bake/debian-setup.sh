#!/bin/sh
# Before the packages are unpacked: an initramfs with the few drivers that a virtual machine needs.
set -e
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
printf 'MODULES=list\nCOMPRESS=zstd\n' > "$1/etc/initramfs-tools/conf.d/kvist"
printf '%s\n' virtio_pci virtio_blk virtio_scsi virtio_rng sd_mod sr_mod isofs nvme ata_piix ext4 > "$1/usr/share/initramfs-tools/modules.d/kvist"
