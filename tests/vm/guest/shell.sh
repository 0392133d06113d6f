# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# The scenario "shell": does what the host says, a line at a time, and tells output and status.
# Read by init.sh. The host's side is rig/shell.py. Not for scenarios that have no host to think.

mkdir -p /run
ip link set lo up
dmesg -n 1
say ready
while read -r order; do
	[ "$order" != "pario-end" ] || break
	(eval "$order") >/tmp/out 2>&1 </dev/null
	status=$?
	sed 's/^/@out /' /tmp/out
	say "status" "$status"
done
