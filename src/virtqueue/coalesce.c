/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision when a call is due. Not the call (notify.c).
 */
#include "virtqueue/coalesce.h"

#include <stddef.h>

#include "base/compiler.h"

#define NS_PER_US 1000u
#define NS_PER_S 1000000000u

static const char *const mode_names[] = {"off", "static", "adaptive"};
_Static_assert(ARRAY_LEN(mode_names) == COALESCE_MODE_MAX_, "a name for each mode");

const char *coalesce_mode_name(enum coalesce_mode mode)
{
	return mode < COALESCE_MODE_MAX_ ? mode_names[mode] : NULL;
}

static const char *const verdict_names[] = {
	[COALESCE_HOLD] = "hold",           [COALESCE_DUE_IN_FLIGHT] = "in-flight",
	[COALESCE_DUE_RATE] = "rate",       [COALESCE_DUE_RATIO] = "ratio",
	[COALESCE_DUE_PACKETS] = "packets", [COALESCE_DUE_DEADLINE] = "deadline",
	[COALESCE_DUE_BUFFERS] = "buffers", [COALESCE_DUE_QUIET] = "quiet",
	[COALESCE_DUE_ANSWERS] = "answers", [COALESCE_DUE_BARREN] = "barren",
};
_Static_assert(ARRAY_LEN(verdict_names) == COALESCE_VERDICT_MAX_, "a name for each verdict");

const char *coalesce_verdict_name(enum coalesce_verdict verdict)
{
	return verdict < COALESCE_VERDICT_MAX_ ? verdict_names[verdict] : NULL;
}

struct coalesce_ratio coalesce_ratio(uint32_t in_flight)
{
	if (in_flight < 2 * COALESCE_IN_FLIGHT_MIN)
		return (struct coalesce_ratio){4, 5};
	if (in_flight < 3 * COALESCE_IN_FLIGHT_MIN)
		return (struct coalesce_ratio){3, 4};
	if (in_flight < 4 * COALESCE_IN_FLIGHT_MIN)
		return (struct coalesce_ratio){2, 3};
	return (struct coalesce_ratio){1, in_flight / (2 * COALESCE_IN_FLIGHT_MIN)};
}

/*
 * One completion in the paper: below up it is delivered and the counter goes on; at skip or above
 * it is delivered and the counter is 1 again; in between it is not. Here cnt of them at once.
 */
bool coalesce_turn(struct coalesce_ratio ratio, uint32_t *turn, uint64_t cnt)
{
	/* Above skip (there are fewer in flight now) is as good as at it; 0 is before the first. */
	const uint32_t at = *turn == 0 ? 1 : *turn < ratio.skip ? *turn : ratio.skip;

	*turn = (uint32_t)((at - 1 + cnt) % ratio.skip) + 1;
	return at < ratio.up || cnt > ratio.skip - at;
}

/* Ends an epoch that is over: as a slow one, too, after long idleness or if time went back. */
static void epoch_count(struct coalesce_state *state, uint64_t now_ns, uint64_t new_cnt)
{
	const uint64_t elapsed_ns = now_ns - state->epoch_ns;

	state->epoch_cnt += new_cnt;
	if (likely(elapsed_ns < COALESCE_EPOCH_NS))
		return;
	state->fast = state->epoch_cnt >= elapsed_ns / (NS_PER_S / COALESCE_RATE_MIN);
	state->epoch_ns = now_ns;
	state->epoch_cnt = 0;
}

/* What only adaptive mode lets through; COALESCE_HOLD: the bounds decide. */
static enum coalesce_verdict adapt(struct coalesce_state *state,
				   const struct coalesce_disk_input *input)
{
	bool turn = false;

	epoch_count(state, input->now_ns, input->new_cnt);
	if (input->in_flight < COALESCE_IN_FLIGHT_MIN) {
		state->turn = 1;
		return COALESCE_DUE_IN_FLIGHT;
	}
	if (input->new_cnt > 0)
		turn = coalesce_turn(coalesce_ratio(input->in_flight), &state->turn,
				     input->new_cnt);
	if (!state->fast)
		return COALESCE_DUE_RATE;
	return turn ? COALESCE_DUE_RATIO : COALESCE_HOLD;
}

enum coalesce_verdict coalesce_decide_disk(const struct coalesce_config *config,
					   struct coalesce_state *state,
					   const struct coalesce_disk_input *input)
{
	const uint64_t wait_ns = (uint64_t)config->usecs * NS_PER_US;
	enum coalesce_verdict verdict = COALESCE_HOLD;

	state->held_cnt += input->new_cnt;
	if (config->mode == COALESCE_ADAPTIVE)
		verdict = adapt(state, input);
	else if (input->in_flight == 0)
		verdict = COALESCE_DUE_IN_FLIGHT;
	if (verdict != COALESCE_HOLD)
		return verdict;
	if (state->held_cnt >= config->packets)
		return COALESCE_DUE_PACKETS;
	if (wait_ns == 0 || (state->due_ns != 0 && input->now_ns >= state->due_ns))
		return COALESCE_DUE_DEADLINE;
	if (state->due_ns == 0)
		state->due_ns = input->now_ns + wait_ns;
	return COALESCE_HOLD;
}
