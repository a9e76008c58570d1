#!/bin/sh
# Makes a Debian that QEMU boots of one that containers boot; runs in it, as root. Its packages have
# been downloaded; those to install are its arguments. Leaves /boot/vmlinuz and /boot/initrd.
set -eu
export DEBIAN_FRONTEND=noninteractive

apt-get -qq -y --no-download --no-install-recommends install "$@" >/dev/null
for deb in /var/cache/apt/archives/linux-image-[0-9]*.deb /var/cache/apt/archives/busybox-static_*.deb; do
	dpkg-deb --fsys-tarfile "$deb" | tar --extract --directory=/ --keep-directory-symlink
done
kernel=$(basename /lib/modules/*)
depmod "$kernel"
mv "/boot/vmlinuz-$kernel" /boot/vmlinuz

# The first programs: they load the drivers of the disk, and give over to it.
first=$(mktemp -d)
mkdir -p "$first/bin" "$first/dev" "$first/drivers" "$first/root"
cp /bin/busybox "$first/bin/"
for driver in virtio_pci virtio_blk virtio_console 9pnet_virtio 9p ext4; do
	modprobe --set-version "$kernel" --show-depends "$driver"
done | while read -r kind path _; do
	case $kind in
	insmod)
		cp "$path" "$first/drivers/"
		basename "$path"
		;;
	esac
done >"$first/order"
cat >"$first/init" <<'INIT'
#!/bin/busybox sh
busybox mount -t devtmpfs devtmpfs /dev
while read -r driver; do
	busybox insmod "/drivers/$driver" 2>/dev/null
done </order
busybox mount -t ext4 /dev/vda /root
busybox mount --move /dev /root/dev
exec busybox switch_root /root /sbin/guest-init
INIT
chmod +x "$first/init"
(cd "$first" && find . | cpio --quiet --create --format=newc) | gzip -1 >/boot/initrd

# Where the checkout and the agent's libraries are in containers too.
mkdir -p /opt/pilot/source /opt/pilot/libraries
echo guest >/etc/hostname
systemd-machine-id-setup >/dev/null

# Without virtualisation each service of a whole system costs seconds: this is all that starts.
cat >/sbin/guest-init <<'INIT'
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for folder in /dev/shm /run /tmp; do
	mount -t tmpfs -o mode=1777 tmpfs "$folder"
done
hostname guest
busybox ip link set lo up
for share in source libraries; do
	mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro "$share" "/opt/pilot/$share"
done
modprobe --all bochs nvme ahci sd_mod
# As udev's 50-udev-default.rules says.
chgrp video /dev/fb0
chmod 0660 /dev/fb0
exec qemu-ga --method=virtio-serial --path=/dev/vport0p1 --statedir=/run
INIT
chmod +x /sbin/guest-init
rm -rf /var/cache/apt/archives /var/lib/apt/lists /usr/share/doc /usr/share/locale
