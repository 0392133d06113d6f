/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step search between levels of coalescing. Not the decision about a call (coalesce_port.c).
 */
#include "virtqueue/coalesce_search.h"

#include <stdbool.h>

/* Below that the law's target is not for sale: a tenth of the calls is what is promised. */
static const uint8_t eighths[COALESCE_LEVEL_MAX - COALESCE_LEVEL_MIN + 1] = {6, 8, 12, 16, 24};

#define TIRED_STEPS 10

uint32_t coalesce_level_eighths(int level)
{
	return eighths[level - COALESCE_LEVEL_MIN];
}

/* Is a more than a tenth above b? */
static bool well_above(uint64_t a, uint64_t b)
{
	return a > b + b / 10;
}

/* 1: better; -1: worse; 0: no difference that counts. */
static int compare(const struct coalesce_sample *now, const struct coalesce_sample *then)
{
	if (well_above(now->bytes, then->bytes))
		return 1;
	if (well_above(then->bytes, now->bytes))
		return -1;
	if (well_above(then->cost_ns, now->cost_ns))
		return 1;
	if (well_above(now->cost_ns, then->cost_ns))
		return -1;
	return 0;
}

static bool step_to(struct coalesce_search *search)
{
	const int level = search->level + search->step;

	if (level < COALESCE_LEVEL_MIN || level > COALESCE_LEVEL_MAX)
		return false;
	search->level = (int8_t)level;
	search->steps++;
	return true;
}

static void park(struct coalesce_search *search)
{
	search->parked = true;
}

/* Goes back to where it was better, and from there the other way, once. */
static void turn(struct coalesce_search *search)
{
	search->level = (int8_t)(search->level - search->step);
	search->step = (int8_t)-search->step;
	search->turns++;
	/* The other side of the best was tried when it came from there. */
	if (search->turns > 1 || search->steps > 1 || !step_to(search))
		park(search);
}

static void begin(struct coalesce_search *search, const struct coalesce_sample *sample)
{
	search->best = *sample;
	search->parked = false;
	search->steps = 0;
	search->turns = 0;
	search->step = search->level < COALESCE_LEVEL_MAX ? 1 : -1;
	step_to(search);
}

static bool traffic_changed(const struct coalesce_sample *now, const struct coalesce_sample *then)
{
	return well_above(now->rate, then->rate) || well_above(then->rate, now->rate);
}

void coalesce_search_step(struct coalesce_search *search, const struct coalesce_sample *sample)
{
	if (search->step == 0) {
		begin(search, sample);
		return;
	}
	if (search->parked) {
		if (traffic_changed(sample, &search->best))
			begin(search, sample);
		return;
	}
	if (compare(sample, &search->best) <= 0) {
		turn(search);
		return;
	}
	search->best = *sample;
	if (search->steps >= TIRED_STEPS || !step_to(search))
		park(search);
}
