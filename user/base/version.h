/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KYMO_BASE_VERSION_H
#define KYMO_BASE_VERSION_H

#define KYMO_VERSION "0.1.0"

#endif
