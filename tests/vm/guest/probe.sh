# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# The scenario that does nothing: a guest that gets here runs on this accelerator.

true
