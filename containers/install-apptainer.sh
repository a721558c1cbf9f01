#!/usr/bin/env bash
# Apptainer on Debian 12, as root: Debian 12 has no package of it, so that of Debian unstable is
# unpacked. It needs a newer C library, which gets a folder of its own; the system keeps its own.
set -euo pipefail

for program in debootstrap fakeroot mksquashfs newuidmap patchelf squashfuse; do
    command -v "$program" >/dev/null && continue
    apt-get update --quiet
    # squashfuse mounts images where root has a user namespace and the kernel may not.
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends \
        ca-certificates debootstrap fakeroot libseccomp2 libsqlite3-0 patchelf squashfs-tools \
        squashfuse uidmap
    break
done
# Ordinary users mount images with it. udev lets them, but does not run everywhere.
[ ! -c /dev/fuse ] || chmod a+rw /dev/fuse
command -v apptainer >/dev/null && { apptainer --version; exit 0; }

library=/usr/lib/apptainer-libc
helpers=/usr/lib/x86_64-linux-gnu/apptainer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' \
    | sed -n 1p)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" > sources
mkdir -p lists/partial
unstable=(-o Dir::Etc::SourceList="$work/sources" -o Dir::Etc::SourceParts=-
    -o Dir::State::Lists="$work/lists" -o Dir::State::status=/dev/null
    -o APT::Sandbox::User=root -o Acquire::Languages=none)
apt-get "${unstable[@]}" --quiet update
apt-get "${unstable[@]}" --quiet download apptainer libc6

dpkg-deb --extract libc6_*.deb libc
dpkg-deb --extract apptainer_*.deb apptainer
install -d "$library"
cp -a libc/usr/lib/x86_64-linux-gnu/*.so* "$library"
for program in apptainer/usr/bin/apptainer "apptainer$helpers/bin/starter"; do
    patchelf --set-interpreter "$library/ld-linux-x86-64.so.2" \
        --set-rpath "$library:/usr/lib/x86_64-linux-gnu" "$program"
done
cp -a apptainer/. /
ln -sf apptainer /usr/bin/singularity

# Without systemd there is no manager of cgroups; builds as root need a range of user ids.
[ -d /run/systemd/system ] || apptainer config global --set "systemd cgroups" no
# Root of a virtual machine may lack a capability or two, and then cannot hand out all of them.
apptainer config global --set "root default capabilities" no
grep -q '^root:' /etc/subuid || usermod --add-subuids 1000000-1065535 \
    --add-subgids 1000000-1065535 root
apptainer --version
