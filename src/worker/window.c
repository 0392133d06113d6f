/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The learning of window.h. Not its use.
 */
#include "worker/window.h"

struct poll_window poll_window_start(uint64_t poll_max_ns)
{
	return (struct poll_window){.window_ns = poll_max_ns, .spin_ns = poll_max_ns};
}

static uint64_t window_grown(uint64_t window_ns, uint64_t poll_max_ns)
{
	if (window_ns >= poll_max_ns / 2 && window_ns > 0)
		return poll_max_ns;
	window_ns = window_ns < POLL_WINDOW_FIRST_NS ? POLL_WINDOW_FIRST_NS : 2 * window_ns;
	return window_ns < poll_max_ns ? window_ns : poll_max_ns;
}

struct poll_window poll_window_met(struct poll_window window, uint64_t gap_ns, uint64_t poll_max_ns)
{
	if (gap_ns > window.longest_ns)
		window.longest_ns = gap_ns;
	/* Only a probe spins longer than the window; it goes on, for a longer gap may follow. */
	if (window.spin_ns > window.window_ns) {
		while (window.window_ns < gap_ns && window.window_ns < poll_max_ns)
			window.window_ns = window_grown(window.window_ns, poll_max_ns);
	}
	return window;
}

static struct poll_window window_after_long(struct poll_window window, uint64_t poll_max_ns)
{
	const uint64_t half_ns = window.window_ns / 2;

	if (window.longest_ns <= half_ns)
		window.window_ns = half_ns >= POLL_WINDOW_FIRST_NS ? half_ns : 0;
	window.longest_ns = 0;
	window.spin_ns = window.window_ns;
	if (++window.long_cnt >= POLL_WINDOW_PROBE_GAPS) {
		window.long_cnt = 0;
		window.spin_ns = poll_max_ns;
	}
	return window;
}

struct poll_window poll_window_slept(struct poll_window window, uint64_t gap_ns,
				     uint64_t poll_max_ns)
{
	if (gap_ns > poll_max_ns)
		return window_after_long(window, poll_max_ns);
	window.window_ns = window_grown(window.window_ns, poll_max_ns);
	window.spin_ns = window.window_ns;
	return window;
}
