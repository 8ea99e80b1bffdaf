#!/bin/sh
# Brings published weights and the mean image with nothing but a shell and curl:
#
#     sh download.sh [--list] [NAME...]        NAME is googlenetCAM unless given
#
# Files go where `camcaffe models download` puts them: to $CAMCAFFE_HOME, which is ~/.cache/camcaffe unless
# set. CAMCAFFE_MIRROR holds addresses to fetch from instead of the published ones, with blanks between them.
# A download that broke off is gone on with if the server still has that file. A file gets its name when it has
# its published checksum or, where none is known, when it is no web page and large enough for its weights;
# `camcaffe models download` looks closer, and it alone makes squeezenetCAM.
set -eu

home=${CAMCAFFE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/camcaffe}
cam=http://cnnlocalization.csail.mit.edu/demoCAM/models
bvlc=http://dl.caffe.berkeleyvision.org
raw=https://raw.githubusercontent.com

# Name, number of weights, checksum or -, addresses to be tried in turn.
table() {
    cat <<END
googlenetCAM 8345896 - $cam/imagenet_googlenetCAM_train_iter_120000.caffemodel $cam/imagenet_googleletCAM_train_iter_120000.caffemodel
vgg16CAM 18100008 - $cam/vgg16CAM_train_iter_90000.caffemodel
googlenetCAM_places205 7531021 - $cam/places_googlenetCAM_train_iter_120000.caffemodel $cam/places_googleletCAM_train_iter_120000.caffemodel
alexnetplusCAM_imagenet 5133800 - $cam/alexnetplusCAM_imagenet.caffemodel
alexnetplusCAM_places205 4725965 - $cam/alexnetplusCAM_places205.caffemodel
googlenet 6998552 sha1:405fc5acd08a3bb12de8ee5e23a96bec22f08204 $bvlc/bvlc_googlenet.caffemodel
vgg16 138357544 - http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/VGG_ILSVRC_16_layers.caffemodel
alexnet 60965224 sha1:9116a64c0fbe4459d18f4bb6b56d647b63920377 $bvlc/bvlc_alexnet.caffemodel
caffenet 60965224 sha1:4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46 $bvlc/bvlc_reference_caffenet.caffemodel
nin 7595176 sha1:8e89c8fcd46e02780e16c867a5308e7bb7af0803 https://www.dropbox.com/s/0cidxafrb2wuwxw/nin_imagenet.caffemodel?dl=1
mean 0 sha256:ed05ebe4d91262615496dff518cde13bc1a4d8d0e50241da79cf77d0113a9c08 $raw/BVLC/caffe/master/matlab/+caffe/imagenet/ilsvrc_2012_mean.mat $raw/zhoubolei/CAM/master/ilsvrc_2012_mean.mat
END
}

# digest BITS <FILE: its SHA-1 or SHA-256.
digest() {
    if command -v "sha${1}sum" >/dev/null; then "sha${1}sum"; else shasum -a "$1"; fi | cut -d ' ' -f 1
}

# good FILE WEIGHTS CHECKSUM: is that the file? Sets $problem if not.
good() {
    if head -c 256 "$1" | LC_ALL=C grep -aqi '<!doctype\|<html\|<?xml'; then
        problem="a web page, not the file"
    elif [ "$3" != - ]; then
        bits=${3%%:*}
        sum=$(digest "${bits#sha}" <"$1")
        [ "$sum" = "${3#*:}" ] && return 0
        problem="its $bits is $sum; expected ${3#*:}"
    else
        size=$(wc -c <"$1")
        [ "$size" -ge $(($2 * 4)) ] && return 0
        problem="only $((size)) bytes; expected more than $(($2 * 4))"
    fi
    return 1
}

# request PART URL [CURL'S OPTION...]: sets $code, curl's exit status, and $status, the server's.
request() {
    part=$1 url=$2
    shift 2
    if [ -t 2 ]; then set -- --progress-bar "$@"; else set -- --silent "$@"; fi
    code=0
    status=$(curl --fail --location --connect-timeout 30 --speed-limit 1 --speed-time 30 --output "$part" \
        --write-out '%{http_code}' "$@" "$url") || code=$?
}

# transfer PART URL: fetch URL, going on after what is in PART. Sets $problem if that fails.
transfer() {
    tag=$(etag "$1") code=0 status=0
    if [ -n "$tag" ]; then
        request "$1" "$2" --continue-at - --header "If-Range: $tag"
    fi
    case "$tag,$code,$status" in
        ,*,* | *,33,* | *,*,416) # nothing to go on with, another file by now, or a server that sends no parts
            rm -f "$1"
            request "$1" "$2" --dump-header "$1.head" ;;
    esac
    case $code,$status in
        0,*) return 0 ;;
        18,* | 28,2?? | 56,2??) problem="the connection broke off" ;;
        22,*) problem="the server answered $status" ;;
        23,*) problem="$1 cannot be written" ;;
        *) problem="no answer (curl's exit status is $code)" ;;
    esac
    if [ -n "$(etag "$1")" ]; then problem="$problem ($(($(wc -c <"$1"))) bytes are kept: call again to go on)"; fi
    return 1
}

# etag PART: what tells the file that PART is the beginning of; nothing where it cannot be gone on with.
etag() {
    if [ -s "$1" ] && [ -s "$1.head" ]; then
        tr -d '\r' <"$1.head" | sed -n 's/^[Ee][Tt][Aa][Gg]: *\("[^"]*"\)$/\1/p' | tail -n 1
    fi
}

# bring NAME WEIGHTS CHECKSUM ADDRESS...
bring() {
    name=$1 weights=$2 checksum=$3
    shift 3
    file=${1##*/}
    file=$home/${file%%\?*}
    if [ -f "$file" ] && good "$file" "$weights" "$checksum"; then
        echo "$name: $file"
        return 0
    fi
    problems=
    for address in $(mirrored "$@"); do
        if transfer "$file.part" "$address"; then
            if good "$file.part" "$weights" "$checksum"; then
                mv "$file.part" "$file"
                rm -f "$file.part.head" "$file.part.json"
                echo "$name: $file"
                return 0
            fi
            rm -f "$file.part"
        fi
        problems="$problems; $address: $problem"
        [ -n "$(etag "$file.part")" ] || rm -f "$file.part" "$file.part.head"
    done
    echo "Error: $name: cannot be downloaded$problems" >&2
    return 1
}

# mirrored ADDRESS...: the same files on the mirrors where there are any, else the addresses.
mirrored() {
    for mirror in ${CAMCAFFE_MIRROR:-}; do
        for address in "$@"; do
            address=${address##*/}
            echo "${mirror%/}/${address%%\?*}"
        done
    done
    [ -n "${CAMCAFFE_MIRROR:-}" ] || echo "$@"
}

if [ "${1:-}" = --list ]; then
    table | cut -d ' ' -f 1
    exit
fi
[ $# -gt 0 ] || set -- googlenetCAM
mkdir -p "$home" || exit 2
failed=0
for wanted in "$@" mean; do
    row=$(table | awk -v name="$wanted" '$1 == name')
    # shellcheck disable=SC2086 # the row's words are the arguments
    if [ -n "$row" ]; then
        bring $row || failed=2
    else
        echo "Error: $wanted: no such name; sh download.sh --list lists them" >&2
        failed=2
    fi
done
exit $failed
