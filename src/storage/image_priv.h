/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognising disk images that are no plain copy of a disk.
 * Not a reader of such formats: they are only named, so that nobody serves one as raw by mistake.
 */
#ifndef PARIO_STORAGE_IMAGE_PRIV_H
#define PARIO_STORAGE_IMAGE_PRIV_H

#include <stddef.h>
#include <stdint.h>

#define IMAGE_HEAD_BYTES 512
#define IMAGE_TAIL_BYTES 512

/*
 * The format's name as its users write it ("qcow2"), or NULL for what may as well be a raw disk.
 * LUKS is raw: the guest decrypts it. Either pointer may be NULL. Pure.
 */
const char *image_format(const uint8_t head[IMAGE_HEAD_BYTES],
			 const uint8_t tail[IMAGE_TAIL_BYTES]);

#endif
