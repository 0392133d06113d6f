/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See places.h. Not a test.
 */
#include "places.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"

const struct place places[] = {
	{"disk file, O_DIRECT", PLACE_DISK_FILE, STORAGE_CACHE_NONE},
	{"disk file, writeback", PLACE_DISK_FILE, STORAGE_CACHE_WRITEBACK},
	{"tmpfs file, O_DIRECT", PLACE_TMPFS_FILE, STORAGE_CACHE_NONE},
	{"tmpfs file, writeback", PLACE_TMPFS_FILE, STORAGE_CACHE_WRITEBACK},
	{"loop 512, O_DIRECT", PLACE_LOOP_512, STORAGE_CACHE_NONE},
	{"loop 512, writeback", PLACE_LOOP_512, STORAGE_CACHE_WRITEBACK},
	{"loop 4096, O_DIRECT", PLACE_LOOP_4096, STORAGE_CACHE_NONE},
	{"loop 4096, writeback", PLACE_LOOP_4096, STORAGE_CACHE_WRITEBACK},
	{"ram", PLACE_RAM, STORAGE_CACHE_NONE},
	{"flash", PLACE_FLASH, STORAGE_CACHE_NONE},
};
const unsigned place_cnt = ARRAY_LEN(places);

bool placed_open(struct harness *h, const struct place *place, uint64_t size_bytes,
		 struct placed *placed)
{
	struct storage_options options = {.name = place->name, .cache = place->cache};
	struct err err = ERR_INIT;

	memset(placed, 0, sizeof(*placed));
	placed->place = place;
	placed->loop.fd = -1;
	options.discard = true;
	if (place->kind == PLACE_RAM || place->kind == PLACE_FLASH) {
		options.backend = place->kind == PLACE_RAM ? STORAGE_BACKEND_RAM
							   : STORAGE_BACKEND_FLASH;
		options.size_bytes = size_bytes;
		options.channels = 7;
		options.read_us = 5;
		options.write_us = 9;
	} else {
		if (place->kind == PLACE_TMPFS_FILE)
			snprintf(placed->path, sizeof(placed->path), "%s", h->tmpfs);
		else
			snprintf(placed->path, sizeof(placed->path), "%s",
				 harness_path(h, "place"));
		harness_make_file(placed->path, size_bytes);
		options.path = placed->path;
	}
	if (place->kind == PLACE_LOOP_512 || place->kind == PLACE_LOOP_4096) {
		if (!harness_loop_open(&placed->loop, placed->path,
				       place->kind == PLACE_LOOP_512 ? 512 : 4096)) {
			print_message("left out: %s: no loop device: %s\n", place->name,
				      strerror(errno));
			return false;
		}
		options.path = placed->loop.path;
	}
	if (storage_open(&options, &placed->storage, &err) < 0) {
		/* tmpfs does O_DIRECT from Linux 6.6 on; before, this is what it has to say. */
		if (place->kind != PLACE_TMPFS_FILE || place->cache != STORAGE_CACHE_NONE)
			fail_msg("%s: %s", place->name, err.text);
		assert_contains(err.text, "cannot do O_DIRECT; use cache=writeback");
		print_message("left out: %s: %s\n", place->name, err.text);
		unlink(placed->path);
		return false;
	}
	placed->channel = harness_channel_open(h, placed->storage);
	placed->stats = storage_channel_stats(placed->channel);
	return true;
}

void placed_close(struct harness *h, struct placed *placed)
{
	harness_channel_close(h, placed->channel);
	storage_close(placed->storage);
	if (placed->loop.fd >= 0)
		harness_loop_close(&placed->loop);
	if (placed->path[0])
		unlink(placed->path);
}

void place_of(struct harness *h, enum place_kind kind, enum storage_cache cache, uint64_t size,
	      struct placed *placed)
{
	for (unsigned i = 0; i < place_cnt; i++) {
		if (places[i].kind == kind && places[i].cache == cache) {
			if (!placed_open(h, &places[i], size, placed))
				skip_because("this host has no such place");
			return;
		}
	}
	fail_msg("no such place");
}

uint8_t *buffer_new(size_t bytes)
{
	uint8_t *buffer = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096 + 4096);

	assert_non_null(buffer);
	return buffer;
}

void fill(uint8_t *buffer, size_t bytes, unsigned seed)
{
	for (size_t i = 0; i < bytes; i++)
		buffer[i] = (uint8_t)((i >> 9) * 31 + i * 7 + seed);
}
