/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long an adaptive poller spins before it sleeps, learnt from how long its work kept it
 * waiting: pure functions, values in and values out. Not the sleeping (hotset.c).
 *
 * Theory of operation
 *
 * The rule is that of QEMU's AioContext and of KVM's haltpoll, with three additions. A gap is the
 * time from a poller's last work to its next, and one of up to poll_max_ns is short: to spin
 * through it would have paid.
 *
 * 1. Back from sleep after a short gap: the window doubles, from a first step of 4 us, up to
 *    poll_max_ns. After a long one: it is halved, and 0 from below the first step. What was met
 *    while spinning leaves it as it is.
 * 2. A window that is earning is kept: a long gap halves it only if half of it would have met all
 *    that spinning met since the long gap before. Short and long gaps alternate wherever a request
 *    has two waits, that for its I/O and that for the guest, and halving at each long one would
 *    never let the window reach the short ones. What is too large for the short ones is still given
 *    back.
 * 3. A gap that was slept through is measured with the wake-up in it, which may take longer than
 *    poll_max_ns: short gaps look long then, and the window would stay at 0 for good. So after each
 *    16th long gap the poller spins poll_max_ns once, whatever the window is (a probe). What it
 *    meets later than the window covers makes the window as large as that needs. A poller of long
 *    gaps pays a sixteenth of poll_max_ns for each wake-up.
 * 4. The window begins at poll_max_ns: the first requests of a queue (a guest that boots, a queue
 *    that was moved because it is busy) find it awake, and an idle one spins once and sleeps.
 * 5. Only work counts: a wake-up that finds none leaves everything as it is, and the gap goes on.
 */
#ifndef PARIO_WORKER_WINDOW_H
#define PARIO_WORKER_WINDOW_H

#include <stdint.h>

#define POLL_WINDOW_FIRST_NS 4000
/* So many long gaps from one probe to the next. */
#define POLL_WINDOW_PROBE_GAPS 16

struct poll_window {
	uint64_t window_ns;
	uint64_t spin_ns;    /* in force: window_ns, or poll_max_ns in a probe */
	uint64_t longest_ns; /* longest gap that spinning met since the last long one */
	unsigned long_cnt;   /* long gaps since the last probe */
};

struct poll_window poll_window_start(uint64_t poll_max_ns);
/* Work came gap_ns after the last while the poller was polled all the time. */
struct poll_window poll_window_met(struct poll_window window, uint64_t gap_ns,
				   uint64_t poll_max_ns);
/* Work came gap_ns after the last, and the poller had stopped to wait for it by polling. */
struct poll_window poll_window_slept(struct poll_window window, uint64_t gap_ns,
				     uint64_t poll_max_ns);

#endif
