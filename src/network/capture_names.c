/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words for what a capture is, does and saw. Not the capture.
 */
#include <assert.h>

#include "base/compiler.h"
#include "network/capture.h"

const char *netport_drop_name(enum netport_drop drop)
{
	static const char *const names[] = {
		[NETPORT_DROP_NONE] = "no",
		[NETPORT_DROP_RUNT] = "runt",
		[NETPORT_DROP_SPOOFED] = "spoofed source",
		[NETPORT_DROP_VLAN] = "vlan of another port",
		[NETPORT_DROP_STORM] = "flood limit",
		[NETPORT_DROP_HAIRPIN] = "destination behind its own port",
		[NETPORT_DROP_NO_PORT] = "no other port",
		[NETPORT_DROP_NO_QUEUE] = "receiver has no running queue",
		[NETPORT_DROP_INBOX_FULL] = "receiver's worker is behind",
		[NETPORT_DROP_HELD] = "waited too long for a move of its queue",
		[NETPORT_DROP_EGRESS_VLAN] = "vlan that the receiver does not carry",
		[NETPORT_DROP_NO_BUFFER] = "no receive buffers",
		[NETPORT_DROP_SMALL_BUFFER] = "receive buffers are too small",
		[NETPORT_DROP_OVER_MTU] = "over the receiver's MTU",
	};
	static_assert(ARRAY_LEN(names) == NETPORT_DROP_MAX_, "a name for each");

	return drop < NETPORT_DROP_MAX_ ? names[drop] : NULL;
}

const char *capture_state_name(enum capture_state state)
{
	static const char *const names[] = {
		[CAPTURE_STARTING] = "starting",
		[CAPTURE_RUNNING] = "running",
		[CAPTURE_STOPPING] = "stopping",
		[CAPTURE_ENDED] = "ended",
	};
	static_assert(ARRAY_LEN(names) == CAPTURE_STATE_MAX_, "a name for each");

	return state < CAPTURE_STATE_MAX_ ? names[state] : NULL;
}

const char *capture_end_name(enum capture_end end)
{
	static const char *const names[] = {
		[CAPTURE_END_NONE] = "no",         [CAPTURE_END_ASKED] = "asked to",
		[CAPTURE_END_SIZE] = "size limit", [CAPTURE_END_PORT] = "port removed",
		[CAPTURE_END_ERROR] = "error",
	};
	static_assert(ARRAY_LEN(names) == CAPTURE_END_MAX_, "a name for each");

	return end < CAPTURE_END_MAX_ ? names[end] : NULL;
}

#define ROW(name, unit, help, kind)                                                  \
	{                                                                            \
#name, unit, help, offsetof(struct capture_stats, name), STAT_##kind \
	}

const struct stat_row capture_stat_rows[] = {
	ROW(frames, "frames", "Written to the file.", COUNTER),
	ROW(file_bytes, "bytes", "Length of the file.", COUNTER),
	ROW(missed, "frames", "Wanted, but their worker's ring was full.", COUNTER),
	ROW(seen, "frames", "That came by in a wanted direction.", COUNTER),
	ROW(accepted, "frames", "Of those, by the filter.", COUNTER),
	ROW(dropped, "frames", "Of those written: the switch dropped them.", COUNTER),
};
const unsigned capture_stat_row_cnt = ARRAY_LEN(capture_stat_rows);
