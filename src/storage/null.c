/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back end without bytes: everything succeeds at once, for measuring what is around it.
 * Not a source of zeroes: a read leaves the buffers as they are (as QEMU's null-co does with
 * read-zeroes=off), so that no memory is touched.
 */
#include "storage/storage_priv.h"

static int null_open(struct storage *storage, const struct storage_options *options,
		     struct err *err)
{
	int status = storage_open_sized(storage, options, err);

	if (status < 0)
		return status;
	storage->info.can_discard = options->discard && !options->read_only;
	return 0;
}

static void null_close(struct storage *storage)
{
	(void)storage;
}

static void null_submit(struct storage_channel *channel, struct storage_op *const *ops,
			unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		storage_channel_push(channel, ops[i], 0);
}

const struct storage_ops null_storage_ops = {
	.storage_bytes = sizeof(struct storage),
	.channel_bytes = sizeof(struct storage_channel),
	.open = null_open,
	.close = null_close,
	.submit = null_submit,
};
