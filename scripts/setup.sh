#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Gets what pario needs from Debian: the one place that names its packages and guest kernels.
# Not a build: it compiles nothing and changes nothing in the tree.
#
# Packages are installed when this runs as root, else the line to run is printed. Guest kernels
# are unpacked into a cache directory (PARIO_CACHE, default ~/.cache/pario), never installed.
# When all is there it asks dpkg once and is done.

set -eu

usage() {
	cat <<USAGE
usage: scripts/setup.sh [build|check|vm|uml|bench|all]...
  build  compiler, Meson, libraries
  check  what 'make check' and 'make lint' need beyond that
  vm     QEMU, tools for the guest, and Debian's cloud kernel in the cache
  uml    User-Mode Linux and libblkio of Debian testing in the cache
  bench  the other switches that 'make bench' compares with
  all    all of these (default)
USAGE
}

die() {
	echo "setup: $*" >&2
	exit 1
}

PACKAGES_build="gcc libc6-dev make meson ninja-build pkg-config python3
	liburing-dev libyaml-dev libjansson-dev libmicrohttpd-dev libcurl4-openssl-dev libpcap-dev"
PACKAGES_check="libcmocka-dev clang libclang-rt-14-dev llvm clang-tidy clang-format cppcheck
	shellcheck codespell sparse qemu-utils qemu-system-common e2fsprogs util-linux mount fio
	valgrind dpdk-dev libdpdk-dev iproute2 ethtool iperf3 tshark"
PACKAGES_bench="dpdk-dev openvswitch-switch-dpdk iproute2 iperf3"
PACKAGES_vm="python3 qemu-system-x86 busybox-static e2fsprogs util-linux mount fio iproute2
	ethtool iperf3 debian-archive-keyring"
PACKAGES_uml="$PACKAGES_vm gcc libc6-dev"

KERNEL_META=linux-image-cloud-amd64
TESTING_PACKAGES="user-mode-linux libblkio-dev"

cache=${PARIO_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/pario}
updated=no
scratch=

# shellcheck disable=SC2317,SC2329  # called by the trap
clean_up() {
	if [ -n "$scratch" ]; then
		rm -rf "$scratch"
	fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

is_root() {
	[ "$(id -u)" -eq 0 ]
}

# The package lists are asked for at most once, and only when something is missing.
update_lists_once() {
	[ "$updated" = no ] || return 0
	is_root || die "apt's package lists are missing or old; run: sudo apt-get update"
	echo "setup: updating apt's package lists"
	apt-get -qq update || die "apt-get update failed: see above; is the network there?"
	updated=yes
}

# missing_packages NAME...: those of them that are not installed.
missing_packages() {
	dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
		awk -v want="$*" '
			$2 == "installed" { have[$1] = 1 }
			END {
				n = split(want, name, /[ \t\n]+/)
				for (i = 1; i <= n; i++)
					if (name[i] != "" && !have[name[i]]++)
						printf "%s ", name[i]
			}'
}

install_packages() {
	missing=$(missing_packages "$@")
	[ -n "$missing" ] || return 0
	if ! is_root; then
		echo "setup: missing Debian packages; run this, then try again:" >&2
		echo "sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing" >&2
		exit 1
	fi
	update_lists_once
	echo "setup: installing $missing"
	# shellcheck disable=SC2086  # a list of words
	if ! said=$(DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
		-o Dpkg::Use-Pty=0 install $missing 2>&1 </dev/null); then
		printf '%s\n' "$said" >&2
		die "apt-get could not install: $missing"
	fi
}

make_scratch() {
	mkdir -p "$cache" || die "cannot make the cache directory $cache (PARIO_CACHE names another)"
	clean_up
	scratch=$(mktemp -d "$cache/.setup.XXXXXX")
}

# settle NAME: the finished $scratch/root becomes $cache/NAME in one step, so that a half-made
# directory never has that name; another setup.sh that was faster wins.
settle() {
	if ! mv -T "$scratch/root" "$cache/$1" 2>/dev/null && ! [ -d "$cache/$1" ]; then
		die "cannot make $cache/$1"
	fi
	clean_up
	scratch=
}

# The image that the meta package stands for, for example linux-image-6.1.0-13-cloud-amd64.
kernel_package() {
	apt-cache depends --important "$KERNEL_META" 2>/dev/null |
		awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }'
}

fetch_kernel() {
	for image in "$cache"/kernel/boot/vmlinuz-*; do
		[ -e "$image" ] && return 0
	done
	make_scratch
	package=$(kernel_package)
	if [ -z "$package" ]; then
		update_lists_once
		package=$(kernel_package)
	fi
	[ -n "$package" ] || die "apt knows no $KERNEL_META; Debian 12 or later on amd64 is needed"
	echo "setup: fetching $package (a guest's kernel, into $cache, not installed)"
	if ! (cd "$scratch" && apt-get -qq -o APT::Sandbox::User=root download "$package"); then
		update_lists_once
		package=$(kernel_package)
		(cd "$scratch" && apt-get -qq -o APT::Sandbox::User=root download "$package") ||
			die "cannot download $package"
	fi
	mkdir "$scratch/root"
	dpkg-deb -x "$scratch"/linux-image-*.deb "$scratch/root"
	settle kernel
}

# The Debian mirror that this system's own apt configuration uses.
debian_mirror() {
	release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	# shellcheck disable=SC2016  # the format is apt's
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
		"Release: ${release:-stable}" \
		'Component: main' 2>/dev/null | head -n 1
}

# Debian testing's packages, unpacked beside each other with the libraries they need and nothing
# else. apt resolves, verifies and downloads with a package database of its own; no script of a
# package runs, and the system's packages are not looked at. A mirror that lags or is a snapshot
# will do: signatures are verified, the date until which they are meant is not.
fetch_testing() {
	[ -x "$cache/testing/usr/bin/linux.uml" ] && return 0
	make_scratch
	mirror=$(debian_mirror)
	if [ -z "$mirror" ]; then
		update_lists_once
		mirror=$(debian_mirror)
	fi
	[ -n "$mirror" ] || die "no Debian mirror found in apt's configuration"
	echo "setup: fetching $TESTING_PACKAGES of Debian testing (into $cache, not installed)"
	mkdir -p "$scratch/apt/lists/partial" "$scratch/apt/cache/archives/partial"
	: >"$scratch/apt/status"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror testing main" \
		>"$scratch/apt/sources.list"
	set -- -qq -o Dir::State="$scratch/apt" -o Dir::State::lists="$scratch/apt/lists" \
		-o Dir::State::status="$scratch/apt/status" -o Dir::Cache="$scratch/apt/cache" \
		-o Dir::Etc::SourceList="$scratch/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
		-o Acquire::Check-Valid-Until=false -o Acquire::Check-Date=false \
		-o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Debug::NoLocking=true
	apt-get "$@" update || die "cannot read Debian testing's package lists at $mirror"
	# shellcheck disable=SC2086  # a list of words
	apt-get "$@" -y --download-only install $TESTING_PACKAGES >/dev/null ||
		die "cannot download from Debian testing: $TESTING_PACKAGES"
	mkdir -p "$scratch/root/usr/bin" "$scratch/root/usr/lib" "$scratch/root/usr/lib64" \
		"$scratch/root/usr/sbin"
	# What base-files does on an installed system.
	for dir in bin lib lib64 sbin; do
		ln -s "usr/$dir" "$scratch/root/$dir"
	done
	for deb in "$scratch"/apt/cache/archives/*.deb; do
		dpkg-deb -x "$deb" "$scratch/root"
	done
	settle testing
}

[ $# -gt 0 ] || set -- all
packages=
kernel=no
testing=no
for purpose in "$@"; do
	case $purpose in
	build) packages="$packages $PACKAGES_build" ;;
	check) packages="$packages $PACKAGES_build $PACKAGES_check" ;;
	vm) packages="$packages $PACKAGES_vm" kernel=yes ;;
	uml) packages="$packages $PACKAGES_uml" testing=yes ;;
	bench) packages="$packages $PACKAGES_build $PACKAGES_bench" ;;
	all)
		packages="$packages $PACKAGES_build $PACKAGES_check $PACKAGES_vm $PACKAGES_uml
			$PACKAGES_bench"
		kernel=yes testing=yes
		;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
done

for tool in dpkg-query apt-get; do
	command -v "$tool" >/dev/null ||
		die "no $tool: this is not a Debian system; the packages needed are named in $0"
done

# shellcheck disable=SC2086  # lists of words
install_packages $packages
[ "$kernel" = no ] || fetch_kernel
[ "$testing" = no ] || fetch_testing
