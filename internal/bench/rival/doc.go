// SPDX-License-Identifier: Apache-2.0

// Package rival sets up those who keep one address and a Postfix on three nodes:
// mailhad, Pacemaker and keepalived, each on nodes of its own and in the way that its
// documentation gives.
//
// It must never tune one of them for a figure and not say so in its name.
package rival
