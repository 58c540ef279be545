#!/usr/bin/env bash
# Installs, upgrades and removes a release on a bare Debian without a network,
# and builds the release twice. As root, from the top of the repository:
#
#   NFPM=… CYCLONEDX=… debian.sh [install] [twice]
#
# PREVIOUS names the commit to upgrade from; without it, the newest tag, or
# the one that brought the data format before the current one. DEBIAN_ROOT
# names a debootstrapped tree to copy, and so needs no mirror.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] || { echo 'test-release: needs root, for chroot'; exit 1; }
for tool in debootstrap unshare ip systemd-analyze dpkg-deb; do
	command -v $tool >/dev/null || { echo "missing: $tool: apt-get install debootstrap util-linux iproute2 systemd dpkg"; exit 1; }
done
work=$(mktemp -d)
trap 'git worktree remove --force "$work/previous" 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT
arch=$(go env GOARCH)
say() { printf '== %s\n' "$*"; }

release() { go run ./cmd/release -nfpm "$NFPM" -cyclonedx "$CYCLONEDX" -targets "linux/$arch" "$@"; }

previous() {
	if [ -n "${PREVIOUS:-}" ]; then echo "$PREVIOUS"; return; fi
	git describe --tags --abbrev=0 --match 'v*' HEAD^ 2>/dev/null && return
	git log -2 -s --format=%H -L '/^var migrations/,/^}/:store/bolt/migrate.go' | tail -n 1
}

# The package of the previous program, made of the one at hand: its own release
# may be from before there were packages.
package_previous() {
	git worktree add --detach -q "$work/previous" "$(previous)"
	CGO_ENABLED=0 go build -C "$work/previous" -trimpath -ldflags '-s -w -buildid= -X main.version=v0.0.1-previous' -o "$work/old/sentinel" ./cmd/sentinel
	dpkg-deb -R "$work"/new/*.deb "$work/unpacked"
	install -m 0755 "$work/old/sentinel" "$work/unpacked/usr/bin/sentinel"
	sed -i 's/^Version: .*/Version: 0.0.0~0/' "$work/unpacked/DEBIAN/control"
	(cd "$work/unpacked" && find . -type f -not -path './DEBIAN/*' -printf '%P\n' | sort | xargs md5sum >DEBIAN/md5sums)
	dpkg-deb -b "$work/unpacked" "$work/old/previous.deb" >/dev/null
}

install_in_debian() {
	say "building the release, and the one before"
	release -out "$work/new" >/dev/null
	package_previous
	say "a bare Debian"
	root=$work/root
	if [ -n "${DEBIAN_ROOT:-}" ]; then cp -a "$DEBIAN_ROOT" "$root"; else debootstrap --variant=minbase stable "$root" >"$work/debootstrap.log" || { tail "$work/debootstrap.log"; exit 1; }; fi
	mkdir -p "$root/release"
	cp -a "$work/new" "$work/old" "$here/inside.sh" "$root/release/"
	mkdir "$root/release/docs" && cp -a docs/*.md docs/deploy "$root/release/docs/"
	# No network but its own loopback; processes end with it.
	timeout 10m unshare --net --mount --pid --fork --kill-child bash -euc "
		ip link set lo up
		mount -t proc proc '$root/proc'
		mount --bind /dev '$root/dev'
		chroot '$root' env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 bash /release/inside.sh" </dev/null
	say "the unit"
	sed 's#^ExecStart=/usr/bin/sentinel#ExecStart=/bin/true#' cmd/release/package/sentinel.service >"$work/sentinel.service"
	systemd-analyze verify "$work/sentinel.service"
	systemd-analyze security --offline=true --threshold=20 "$work/sentinel.service" | tail -n 1
}

build_twice() {
	say "building the same commit in two places, one of them from nothing"
	for place in here elsewhere/deeper; do
		git clone -q --no-hardlinks . "$work/$place/clone"
		(cd "$work/$place/clone" && release -out "$work/$place/out" >/dev/null)
		export GOCACHE=$work/cache
	done
	diff "$work/here/out/SHA256SUMS" "$work/elsewhere/deeper/out/SHA256SUMS"
	say "both are the same to the byte"
}

[ $# -gt 0 ] || set -- install twice
for stage in "$@"; do
	case $stage in
	install) install_in_debian ;;
	twice) build_twice ;;
	*) echo "test-release: $stage is neither install nor twice"; exit 1 ;;
	esac
done
say "all is well"
