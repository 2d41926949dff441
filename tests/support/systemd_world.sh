# A world for a systemd that cannot harm the machine: bash -eu -c "$(cat this)" world KEEP... in the mount
# namespace that `unshare` made. Every disk is read-only in it, what is written is in memory, and none of the machine's
# own units is known to it: theirs empty /tmp, set the kernel's settings and mount disks, whoever started them.

awk '$5 !~ "^/proc" { print $5 }' /proc/self/mountinfo | sort -u | while read -r point; do
    mount -o remount,bind,ro "$point" || umount -l "$point"
done
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys

mount -t tmpfs -o mode=755 none /mnt
place=0
for each in "$@"; do mkdir /mnt/$place; mount --bind "$each" /mnt/$place; place=$((place + 1)); done
mkdir /mnt/dev /mnt/dev/shm /mnt/dev/pts
for each in null zero full random urandom tty; do touch /mnt/dev/$each; mount --bind /dev/$each /mnt/dev/$each; done
for each in null zero full random urandom tty; do mount -o remount,bind,rw /mnt/dev/$each; done
ln -s /proc/self/fd /mnt/dev/fd
ln -s pts/ptmx /mnt/dev/ptmx
mount --rbind /mnt/dev /dev
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 none /dev/pts
mount -t tmpfs none /dev/shm

for each in /tmp /var /run /etc/systemd/system /root /home; do mount -t tmpfs -o mode=755 none $each; done
mkdir -p /var/tmp /var/lib /run/lock /run/systemd/system /run/units
chmod 1777 /tmp /var/tmp
place=0
for each in "$@"; do
    mkdir -p "$each"
    mount --bind /mnt/$place "$each"
    mount -o remount,bind,ro "$each"
    place=$((place + 1))
done
umount -l /mnt
ip link set lo up

# It is looked at before it is believed in.
for each in / /usr /etc /mnt "$@"; do
    if touch "$each/.probe" 2>/dev/null; then rm "$each/.probe"; echo "$each can be written"; exit 1; fi
done
for each in /tmp /var /run /dev; do [ "$(stat -f -c %T $each)" = tmpfs ]; done

for each in here sysinit basic sockets multi-user network-online shutdown umount; do
    printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' $each >/run/units/$each.target
done
mkdir /etc/systemd/system/tunnel-server.service.d
printf '[Service]\nEnvironment=PYTHONPATH=%s\nBindReadOnlyPaths=%s\nStandardOutput=append:/run/service.log\nStandardError=append:/run/service.log\n' \
    "$PYTHONPATH" "$*" >/etc/systemd/system/tunnel-server.service.d/sources.conf
exec env -i container=tunnel PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_GENERATOR_PATH=/run/none \
    SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/units /lib/systemd/systemd --system --unit=here.target \
    --log-target=console --show-status=no
