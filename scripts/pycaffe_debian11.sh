#!/bin/sh
# Debian 11 with BVLC Caffe in a folder of its own, and the tests that need Caffe run inside it.
#
#   sudo scripts/pycaffe_debian11.sh ROOT [PYTEST ARGUMENT...]
#
# The first run installs Debian 11 (bullseye) with its packages of Caffe, Python 3.9 and all that camcaffe
# needs into ROOT: 1.4 GB, two to three minutes. Later runs find it finished and only copy the checkout and
# run the tests. Without further arguments these are the tests marked `pycaffe`, else pytest's arguments.
#
#   CAMCAFFE_DEBIAN_MIRROR   address of a Debian mirror that holds bullseye; default: debootstrap's own
#   CAMCAFFE_REFERENCE       folder of the original programs' outputs; copied into ROOT for the tests
set -eu

fail() {
    echo "pycaffe_debian11.sh: $*" >&2
    exit 2
}

[ $# -ge 1 ] || fail "no folder given; usage: scripts/pycaffe_debian11.sh ROOT [PYTEST ARGUMENT...]"
case $1 in
    /) fail "/ is this system itself; give a folder of its own" ;;
    /*) root=${1%/} ;;
    *) root=$PWD/${1%/} ;;
esac
shift
[ "$(id -u)" -eq 0 ] || fail "needs root, for debootstrap and chroot: run it with sudo"
command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"

checkout=$(cd "$(dirname "$0")/.." && pwd)
reference=${CAMCAFFE_REFERENCE:-$checkout/../shared/reference}
mirror=${CAMCAFFE_DEBIAN_MIRROR:-}
packages="python3-caffe caffe libopenblas0-pthread python3-opencv python3-numpy python3-scipy python3-h5py
    python3-pil python3-protobuf python3-click python3-tqdm python3-pytest python3-pytest-xdist python3-hypothesis"
modules="caffe, cv2, numpy, scipy, h5py, PIL, google.protobuf, click, tqdm, pytest, xdist, hypothesis"

inside() {
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        GLOG_minloglevel=2 PYTHONDONTWRITEBYTECODE=1 ${http_proxy:+http_proxy="$http_proxy"} \
        ${https_proxy:+https_proxy="$https_proxy"} "$@"
}

finished() {
    # shellcheck disable=SC2086  # the list of packages is meant to be split
    [ -x "$root/usr/bin/python3" ] && inside dpkg -s $packages >/dev/null 2>&1 &&
        inside python3 -W ignore -c "import $modules" 2>/dev/null
}

install_base() {
    # Under another name until it is whole, so that a run cut short leaves nothing that looks finished.
    rm -rf --one-file-system "$root.partial"
    if ! debootstrap --variant=minbase bullseye "$root.partial" $mirror; then
        [ ! -f "$root.partial/debootstrap/debootstrap.log" ] || tail -n 5 "$root.partial/debootstrap/debootstrap.log" >&2
        rm -rf --one-file-system "$root.partial"
        fail "NO DEBIAN 11: debootstrap could not install bullseye from ${mirror:-its default mirror}." \
            "Old releases move to Debian's archive: set CAMCAFFE_DEBIAN_MIRROR to a mirror that still holds it."
    fi
    [ ! -d "$root" ] || rmdir "$root"
    mkdir -p "$(dirname "$root")"
    mv "$root.partial" "$root"
}

if finished; then
    echo "using the finished root $root"
else
    if [ ! -x "$root/usr/bin/apt-get" ]; then
        [ ! -e "$root" ] || rmdir "$root" 2>/dev/null || fail "$root is neither empty nor a Debian root; give another folder"
        install_base
    fi
    inside apt-get update || fail "apt-get update failed in $root: is the mirror there, and does it still hold bullseye?"
    # shellcheck disable=SC2086  # the list of packages is meant to be split
    inside apt-get install -y --no-install-recommends $packages || fail "apt-get install failed in $root"
    inside apt-get clean
    finished || fail "the packages are installed in $root, yet Python there cannot import all of: $modules"
fi

# Copies, not mounts: nothing is left mounted if the run is cut short, and the tests cannot touch the checkout.
copy() {
    rm -rf --one-file-system "$root/$2"
    mkdir -p "$root/$2"
    tar -C "$1" --exclude=.git --exclude=.venv --exclude=__pycache__ --exclude=.hypothesis -cf - . | tar -C "$root/$2" --no-same-owner -xf -
}
copy "$checkout" camcaffe
if [ -d "$reference" ]; then
    copy "$reference" reference
else
    rm -rf --one-file-system "$root/reference"
    echo "no reference data at $reference: the tests that need it will skip" >&2
fi

[ $# -gt 0 ] || set -- -m pycaffe
# The reference was made with OpenBLAS and its SSE3 kernels, which every x86-64 processor can run: with them Caffe's
# sums are the same to the last bit on any machine.
inside env CAMCAFFE_REFERENCE=/reference OPENBLAS_CORETYPE=Prescott \
    sh -c 'cd /camcaffe && exec python3 -m pytest -p no:cacheprovider "$@"' pytest "$@"
