/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a ram disk, for back ends that keep their bytes in one: ram.c and flash.c.
 * Not the ram back end's submit.
 */
#ifndef PARIO_STORAGE_RAM_PRIV_H
#define PARIO_STORAGE_RAM_PRIV_H

#include "storage/storage_priv.h"

/* A back end that keeps its bytes here begins with it. */
struct ram_storage {
	struct storage base;
	uint8_t *map;
	uint8_t *written; /* one for each chunk, 0 or 1 */
	uint64_t page_bytes;
};

/* As open and close of struct storage_ops. */
int ram_open(struct storage *storage, const struct storage_options *options, struct err *err);
void ram_close(struct storage *storage);

/*
 * Worker. Copies, or frees memory. True: the operation is done with *result, and is the caller's
 * to complete. False, for discards and zeroing alone: storage_channel_complete() comes later.
 */
bool ram_do(struct ram_storage *ram, struct storage_op *op, int *result);

#endif
