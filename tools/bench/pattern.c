/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fill, compare and describe sectors of verify mode.
 */
#include "pattern.h"

#include <stdio.h>

#include "random.h"

#define MAGIC UINT64_C(0x70617269) /* "pari", above the generation */
#define STEP UINT64_C(0x9e3779b97f4a7c15)

static uint64_t sequence_start(uint64_t seed, uint64_t sector, uint32_t generation)
{
	return random_mix(random_mix(seed ^ sector * STEP) + generation);
}

void pattern_fill(uint64_t *words, uint64_t seed, uint64_t sector, uint32_t generation)
{
	uint64_t word = sequence_start(seed, sector, generation);

	words[0] = sector;
	words[1] = MAGIC << 32 | generation;
	words[2] = seed;
	for (unsigned int i = 3; i < PATTERN_WORD_CNT; i++)
		words[i] = word + i * STEP;
}

bool pattern_matches(const uint64_t *words, uint64_t seed, uint64_t sector, uint32_t generation)
{
	uint64_t word = sequence_start(seed, sector, generation);
	uint64_t diff = (words[0] ^ sector) | (words[1] ^ (MAGIC << 32 | generation)) |
			(words[2] ^ seed);

	/* No early exit: the compiler makes vectors of this. */
	for (unsigned int i = 3; i < PATTERN_WORD_CNT; i++)
		diff |= words[i] ^ (word + i * STEP);
	return diff == 0;
}

bool pattern_is_zero(const uint64_t *words)
{
	uint64_t any = 0;

	for (unsigned int i = 0; i < PATTERN_WORD_CNT; i++)
		any |= words[i];
	return any == 0;
}

void pattern_describe(const uint64_t *words, uint64_t seed, char *text, size_t size)
{
	uint32_t generation = (uint32_t)words[1];

	if (pattern_is_zero(words))
		snprintf(text, size, "zeroes");
	else if (words[1] >> 32 != MAGIC)
		snprintf(text, size, "data that is not ours (first words %016llx %016llx)",
			 (unsigned long long)words[0], (unsigned long long)words[1]);
	else if (!pattern_matches(words, words[2], words[0], generation))
		snprintf(text, size, "a damaged sector that begins as generation %u of offset %llu",
			 generation, (unsigned long long)words[0] * PATTERN_SECTOR_BYTES);
	else
		snprintf(text, size, "generation %u of offset %llu%s", generation,
			 (unsigned long long)words[0] * PATTERN_SECTOR_BYTES,
			 words[2] == seed ? "" : " of another run");
}
