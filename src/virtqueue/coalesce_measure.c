/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a port's coalescer measures: rate and distance of bursts, who answers, and the target that
 * follows from that. Not the decision (coalesce_port.c).
 */
#include "base/compiler.h"
#include "virtqueue/coalesce_port_priv.h"

/* Frames of a target are reckoned in 256ths. */
#define FRACTION 256u
/* Beyond any port's, and far from where reckoning would overflow. */
#define RATE_MAX 1000000000u

/* The largest root whose square is at most value. */
static uint64_t root(uint64_t value)
{
	uint64_t result = 0;

	for (uint64_t bit = 1ull << 31; bit; bit >>= 1) {
		const uint64_t tried = result | bit;

		if (tried * tried <= value)
			result = tried;
	}
	return result;
}

/* Frames to a call, in 256ths: sqrt(2Cp), times what the search says. */
static uint64_t target_frames(const struct coalesce_port_state *state)
{
	const uint64_t square = state->rate * (2ull * COALESCE_CALL_COST_NS / NS_PER_US) *
				(FRACTION * FRACTION / 64) / (NS_PER_S / NS_PER_US / 64);

	const uint64_t frames = root(square) * coalesce_level_eighths(state->search.level) / 8;

	return frames < COALESCE_TARGET_MAX * FRACTION ? frames : COALESCE_TARGET_MAX * FRACTION;
}

/* A hold's longest, by the bounds: what comes in batches waits for the next one, too. */
static uint64_t longest_ns(const struct coalesce_config *config,
			   const struct coalesce_port_state *state, bool receive)
{
	uint64_t usecs = config->usecs;
	uint64_t ns;

	if (!receive && usecs > COALESCE_TX_USECS)
		usecs = COALESCE_TX_USECS;
	ns = usecs * NS_PER_US;
	if (!receive)
		return ns;
	return ns > state->gap_ns ? ns - state->gap_ns : 0;
}

void coalesce_measure_target(const struct coalesce_config *config,
			     struct coalesce_port_state *state, bool receive)
{
	const uint64_t frames = target_frames(state);
	uint64_t hold_ns = longest_ns(config, state, receive);
	uint64_t hold_cnt = config->packets;

	state->hold_ns = 0;
	if (state->rate == 0)
		return;
	if (receive) {
		const uint64_t law_ns = frames * (NS_PER_S / FRACTION) / state->rate;

		if (law_ns < hold_ns)
			hold_ns = law_ns;
		if (hold_cnt > 2 * frames / FRACTION)
			hold_cnt = 2 * frames / FRACTION;
	}
	/* Too few would come along, or come only with a batch that has a call of its own. */
	if (hold_ns < 2ull * NS_PER_S / state->rate || hold_ns < state->batch_ns)
		return;
	state->hold_ns = hold_ns;
	state->hold_cnt = hold_cnt > 2 ? hold_cnt : 2;
}

/* ---- who answers ---- */

/* A stream gets its trust back; after each time that this was in vain it takes longer. */
static void regain(struct coalesce_port_state *state)
{
	if (state->skip_left == 0)
		return;
	if (state->regain_left > 0) {
		state->regain_left--;
		return;
	}
	state->skip_left = 0;
	state->trust = COALESCE_TRUST_MAX / 2;
	state->regained = true;
}

static void judge_traffic(struct coalesce_port_state *state,
			  const struct coalesce_port_input *input)
{
	const uint64_t sent = input->sent_cnt - state->sent_cnt;
	const uint64_t cnt = state->epoch_cnt;

	state->answers = false;
	state->stream = false;
	if (!input->receive)
		return;
	if (input->sent_known) {
		state->answers = sent * COALESCE_ANSWERS_SHARE >= cnt;
		state->stream = sent * COALESCE_STREAM_SHARE < cnt;
		state->sent_cnt = input->sent_cnt;
	} else {
		/* Requests come one at a time. */
		state->stream = cnt >= COALESCE_ANSWERS_SHARE * state->epoch_bursts;
	}
	if (state->stream)
		regain(state);
}

/* ---- epochs ---- */

static void end_sample(struct coalesce_port_state *state, uint64_t now_ns)
{
	const uint64_t elapsed_ns = now_ns - state->sample_ns;
	struct coalesce_sample sample;

	if (state->sample_bursts < COALESCE_SAMPLE_BURSTS || elapsed_ns < COALESCE_SAMPLE_NS)
		return;
	/* Only what was held says something about a level. */
	if (state->hold_ns != 0 && !state->answers && state->skip_left == 0 &&
	    state->sample_cnt > 0 && elapsed_ns < NS_PER_S) {
		sample = (struct coalesce_sample){
			.rate = state->rate,
			.bytes = state->sample_bytes * (NS_PER_S / NS_PER_US) /
				 (elapsed_ns / NS_PER_US),
			.cost_ns = (state->sample_calls * COALESCE_CALL_COST_NS +
				    state->sample_wait_ns) /
				   state->sample_cnt,
		};
		coalesce_search_step(&state->search, &sample);
	}
	state->sample_ns = now_ns;
	state->sample_cnt = 0;
	state->sample_bytes = 0;
	state->sample_bursts = 0;
	state->sample_calls = 0;
	state->sample_wait_ns = 0;
}

/* A rate that is far from the one before is a new one; else both count. */
static uint64_t smooth_rate(uint64_t before, uint64_t now)
{
	if (now > 2 * before || now < before / 2)
		return now;
	return (before + now) / 2;
}

/* What comes while calls are held, beside what came without. */
static void compare_rates(struct coalesce_port_state *state, uint64_t rate)
{
	if (state->epoch_holds > 0) {
		state->trusted_epochs++;
		state->held_rate = (7 * state->held_rate + rate) / 8;
		return;
	}
	state->free_rate = state->free_rate ? (7 * state->free_rate + rate) / 8 : rate;
	state->held_rate = state->free_rate;
}

static void end_epoch(const struct coalesce_config *config, struct coalesce_port_state *state,
		      const struct coalesce_port_input *input)
{
	const uint64_t elapsed_ns = input->now_ns - state->epoch_ns;
	uint64_t rate = 0;

	/* Anything longer has no rate: an idle port, the first epoch, a clock that went back. */
	if (elapsed_ns < NS_PER_S)
		rate = state->epoch_cnt * (NS_PER_S / NS_PER_US) / (elapsed_ns / NS_PER_US);
	if (rate > RATE_MAX)
		rate = RATE_MAX;
	state->rate = smooth_rate(state->rate, rate);
	compare_rates(state, rate);
	state->batch_ns = state->epoch_bursts ? elapsed_ns / state->epoch_bursts : elapsed_ns;
	judge_traffic(state, input);
	end_sample(state, input->now_ns);
	coalesce_measure_target(config, state, input->receive);
	state->measured = true;
	state->epoch_ns = input->now_ns;
	state->epoch_cnt = 0;
	state->epoch_bursts = 0;
	state->epoch_holds = 0;
}

/*
 * The typical distance is that within trains of bursts: one that is far longer counts as little
 * more than twice. At one instant (a turn sends several bursts) there is none.
 */
static void measure_gap(struct coalesce_port_state *state, uint64_t now_ns)
{
	uint64_t gap_ns = now_ns - state->last_ns;

	if (gap_ns == 0)
		return;
	if (gap_ns > 2 * state->gap_ns + NS_PER_US)
		gap_ns = 2 * state->gap_ns + NS_PER_US;
	state->gap_ns = (7 * state->gap_ns + gap_ns) / 8;
	state->last_ns = now_ns;
	state->epoch_bursts++;
	state->sample_bursts++;
}

void coalesce_measure_burst(const struct coalesce_config *config, struct coalesce_port_state *state,
			    const struct coalesce_port_input *input)
{
	uint64_t elapsed_ns = input->now_ns - state->epoch_ns;

	measure_gap(state, input->now_ns);
	state->epoch_cnt += input->new_cnt;
	state->sample_cnt += input->new_cnt;
	state->sample_bytes += input->new_bytes;
	if (likely(elapsed_ns < COALESCE_PORT_EPOCH_NS))
		return;
	if (state->epoch_bursts >= COALESCE_PORT_EPOCH_BURSTS ||
	    elapsed_ns >= COALESCE_PORT_EPOCH_LONG_NS)
		end_epoch(config, state, input);
}
