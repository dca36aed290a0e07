#!/usr/bin/env bash
# Makes a stand-in for python:3.11-slim-bookworm where no image registry can be reached: Debian bookworm from Debian's
# own packages, with its own Python 3.11, under the name that the Dockerfile asks for. Needs root, buildah, debootstrap.
#
#   tests/ops/base_image.sh FOLDER DRIVER     keeps packages and buildah's storage, of that driver, in FOLDER
set -euo pipefail

work=$(realpath -m "${1:?name a folder}")
image=docker.io/library/python:3.11-slim-bookworm
storage=(buildah --storage-driver "${2:?name a storage driver}" --root "$work/storage" --runroot "$work/run")

if "${storage[@]}" inspect --type image "$image" >/dev/null 2>&1; then
  exit 0
fi
mkdir -p "$work/packages"
rm -rf "$work/tree"
debootstrap --variant=minbase --cache-dir="$work/packages" \
  --include=ca-certificates,python3,python3-venv,python3-pip bookworm "$work/tree"
# The image of Docker has its Python under /usr/local, and calls it python as well.
ln -s /usr/bin/python3 "$work/tree/usr/local/bin/python3"
ln -s /usr/bin/python3 "$work/tree/usr/local/bin/python"
rm -rf "$work/tree/var/cache/apt/archives" "$work/tree/var/lib/apt/lists"

container=$("${storage[@]}" from scratch)
"${storage[@]}" add --quiet "$container" "$work/tree" / >/dev/null
"${storage[@]}" config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin --cmd python3 "$container"
"${storage[@]}" commit --quiet --rm --format docker "$container" "$image" >/dev/null
rm -rf "$work/tree"
