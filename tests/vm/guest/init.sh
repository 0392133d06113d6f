#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# The guests' init: loads the modules and runs the scenario that the kernel command line names.
# Not a test itself. What the scripts here print after "@pario" is for the host's rig.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
stty -echo

say() {
	printf '@pario %s\n' "$*"
}

# key NAME: the value of pario.NAME= on the kernel command line.
key() {
	sed -n "s/^\(.* \)\{0,1\}pario\.$1=\([^ ]*\).*\$/\2/p" /proc/cmdline
}

finish() {
	say end
	sync
	poweroff -f
	# Nothing else can be done without an init.
	sleep 3600
}

# step NAME COMMAND...: runs a step; the first that fails ends the test.
step() {
	step_name=$1
	shift
	if "$@" >/tmp/out 2>&1; then
		say ok "$step_name"
	else
		tail -n 30 /tmp/out | sed 's/^/  /'
		say fail "$step_name: $(tail -n 1 /tmp/out)"
		poweroff -f
		sleep 3600
	fi
}

# ask NAME: has the host do something, and waits until it has.
ask() {
	say ask "$1"
	read -r answer
	[ "$answer" = "go $1" ] || say fail "ask $1: the host said '$answer'"
}

# within SECONDS COMMAND...: polls a condition.
within() {
	seconds=$1 tries=$(($1 * 10))
	shift
	while ! "$@"; do
		tries=$((tries - 1))
		if [ "$tries" -le 0 ]; then
			echo "not within $seconds s: $*"
			return 1
		fi
		sleep 0.1
	done
}

load_modules() {
	for module in /modules/*; do
		insmod "$module" || return 1
	done
}

step modules load_modules
scenario=$(key scenario)
# shellcheck source=/dev/null
. "/guest/$scenario.sh"
finish
